"""What stands now, in one look: positions, streams, daemons, the mode, the venue, alarms, news.

`read.read_overview` asks the server, `view` makes the values of what it said, `values` are what
`quantum positions`, `quantum top` and the web page show; `document.as_json` is for machines.
"""
