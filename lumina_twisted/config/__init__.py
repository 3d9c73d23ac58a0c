"""The daemon's configuration, floor 5: read from files and the command line, composed, and checked as a whole."""
