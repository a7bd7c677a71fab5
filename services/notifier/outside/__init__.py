"""The world outside of notifier's decision: the server it listens to, and those whom it tells."""
