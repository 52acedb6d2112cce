"""The pictures of docs/model.md: curves, and where the model fails."""
