"""apply_layer: the only daemon that knows the venue."""
