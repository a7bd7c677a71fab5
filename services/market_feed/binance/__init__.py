"""market_feed live on Binance USD-M futures: stream, candles, a second venue's price."""
