"""The line front-end, floor 4."""
