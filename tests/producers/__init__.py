"""Producers outside the suite, in the languages of docs/producing-intents.md."""
