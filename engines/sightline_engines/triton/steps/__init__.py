"""The Python steps around a network, as they run inside Triton (docs/triton.md).

Copied into each deployment's folders with the modules that they use (triton/vendor.py), so they
may import nothing but the standard library, numpy, OpenCV and those modules.
"""
