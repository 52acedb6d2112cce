"""What Sightline costs at a Triton server, and whether its benchmark can be believed."""
