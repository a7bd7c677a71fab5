"""The double of the venue, asked by real clients."""
