"""What the trained model is worth: on the pictures kept aside, on clips, on empty rooms."""
