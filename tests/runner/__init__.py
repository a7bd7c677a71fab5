"""The runner: on both buses, and as processes that are killed."""
