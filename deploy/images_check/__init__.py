"""`make images-check`: the compose file brought up for real, used, and taken down again."""
