"""Settings: where they come from, and what is said about one that cannot be used."""
