"""Detect objects in pictures: types, wire format, engines."""
