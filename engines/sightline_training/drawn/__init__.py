"""A renderer of people in a room, for tests and for the card: no photograph is needed."""
