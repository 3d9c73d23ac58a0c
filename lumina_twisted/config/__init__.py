"""What the daemon shall do, floor 5: read from a file and the command line, composed, and checked as a whole."""
