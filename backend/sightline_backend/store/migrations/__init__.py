"""How the database came to be what `tables.py` says, one revision a file."""

REVISIONS = ("0001",)  # the oldest first; a test compares them with the files
