"""What a bus counts and measures, and how that is told, floor 1."""
