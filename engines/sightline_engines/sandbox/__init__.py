"""Run untrusted work in a child process behind walls. Linux only; `run.py` is the way in."""
