"""intent_bridge: admits or refuses an intent, sizes it and gives it a plan."""
