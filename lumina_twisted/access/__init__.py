"""Who asks, how, and what they may, floor 1."""
