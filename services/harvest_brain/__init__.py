"""harvest_brain: R, the ladder, the profit lock and the kill score."""
