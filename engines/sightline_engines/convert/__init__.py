"""From one artefact of a model to another: formats, precisions, and whether they still agree."""
