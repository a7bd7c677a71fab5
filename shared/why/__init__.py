"""Why nothing is sold: one symbol's story from the streams, and the hop that stands still.

`read` takes a picture from the server; everything after that is pure: `story` puts what was said
in order, `rungs` and `hops` look at the ladder and the queues, `findings` names the reasons.
"""
