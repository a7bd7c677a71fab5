"""Candle files and their replay, from small files that the tests write themselves."""
