"""trading_bot: turns prices into entry intents; what counts as a signal is a plug-in."""
