"""The buses and the private server, on a real server."""
