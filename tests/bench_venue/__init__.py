"""How the live adapter stands up to many positions and a venue that is far away."""
