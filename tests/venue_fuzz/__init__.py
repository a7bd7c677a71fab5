"""Garbage for answers and frames: whatever a venue says, nothing of it ends apply_layer."""
