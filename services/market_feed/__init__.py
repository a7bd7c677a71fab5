"""market_feed: brings prices in, from candle files or live from a venue."""
