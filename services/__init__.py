"""The ring of six daemons; each folder is a pure decider, its settings and its wiring."""
