"""The pages: one function each, called by app.py with what they need."""
