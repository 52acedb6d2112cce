"""What a model costs and what it is worth: speed, memory and power beside accuracy."""
