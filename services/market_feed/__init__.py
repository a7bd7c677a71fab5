"""market_feed: brings prices in; a replay of candle files so far."""
