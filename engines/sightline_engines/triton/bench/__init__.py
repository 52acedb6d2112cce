"""How fast a model on a Triton server is: load, figures, and the best setting."""
