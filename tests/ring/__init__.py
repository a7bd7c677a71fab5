"""The six daemons together: real processes on a real server, and all in one process in memory."""
