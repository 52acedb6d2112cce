"""Names of the tensors between the steps; the network's own have the network's names."""

IMAGE_BYTES = "IMAGE_BYTES"  # (N, 1) encoded pictures
OUTPUT_JSON = "OUTPUT_JSON"  # (N, 1) texts
FACTS = "PICTURE_FACTS"  # (N, 8) float64, in the order of PictureFacts
PROBLEM = "PICTURE_PROBLEM"  # (N, 1) JSON of what is wrong with a picture; empty: nothing
RESERVED = frozenset({IMAGE_BYTES, OUTPUT_JSON, FACTS, PROBLEM})
