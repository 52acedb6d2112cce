"""What serves under a model's name, and how it changes while streams run."""
