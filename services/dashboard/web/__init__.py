"""The web server of the page: who may ask, what is read from Redis, and how it is sent."""
