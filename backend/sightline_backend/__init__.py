"""Serve detections over HTTP and WebSocket, and the `sightline` command."""
