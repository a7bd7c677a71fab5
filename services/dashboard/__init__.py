"""dashboard: the ring in a browser, for a person who looks."""
