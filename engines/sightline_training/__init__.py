"""Train, measure and export the model that ships with Sightline. Not part of any wheel."""
