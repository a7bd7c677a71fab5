"""Whether the documents are true: their commands run, their links lead somewhere."""
