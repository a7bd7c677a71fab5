"""The gauntlet: apply_layer against the double of the venue, under faults and kill -9.

`python -m tests.venue_gauntlet` runs it. What must hold is decided by `checker`, from the venue's
own ledger and from what stands on the server, without a look at the code that it judges.
"""
