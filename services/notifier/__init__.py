"""notifier: tells a person what the ring did and what stands still; it never holds the ring up."""
