"""What the field did to Lumina, row by row."""
