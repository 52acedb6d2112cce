"""One page for each server that Sightline is measured beside.

Each page runs in a virtual environment of its own, so it imports that server's packages,
numpy, OpenCV and ONNX Runtime, `options` and `yolo` from this folder, and nothing of Sightline.
"""
