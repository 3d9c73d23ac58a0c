"""The value front-end, floor 4 (S1)."""
