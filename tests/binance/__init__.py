"""The adapter of Binance USD-M futures: its pure parts, and its conversations with the double."""
