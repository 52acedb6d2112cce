"""Installs, starts, loads and measures the peers; runs in the project's own environment."""
