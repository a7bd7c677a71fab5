"""The socket that keeps itself connected, against real servers on this machine."""
