"""Traces of frames and calls, sent to an OpenTelemetry collector; off unless one is named."""
