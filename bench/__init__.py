"""Measures speed and memory on this machine: `python -m bench [section …]` prints one table."""
