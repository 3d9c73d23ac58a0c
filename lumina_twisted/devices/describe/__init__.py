"""What devices are, floor 3: their points, their settings, and how both are read from a file."""
