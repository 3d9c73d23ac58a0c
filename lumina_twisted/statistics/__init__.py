"""What a bus counts and measures, and the reports of that, floor 1."""
