"""What the server does with Triton: reads it, deploys to it, watches over it."""
