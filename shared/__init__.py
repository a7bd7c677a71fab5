"""What the six daemons have in common: contracts, formulas, streams, the bus and its runner."""
