"""The server of ``strongroom dev``, for development and tests: its clock and its faults can be controlled.

Only ``cli/dev.py`` imports this package, so no other process has its code (docs/adr/0041).
"""
