"""The live view of `quantum top`."""
