"""NVIDIA Triton: serve through it, and make what it serves."""
