"""What stands now: the values of an overview, and reading them from a server."""
