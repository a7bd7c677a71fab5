"""trading_bot, driven by the ticks that it reads."""
