"""exitbrain: gives an entry its stop and its targets."""
