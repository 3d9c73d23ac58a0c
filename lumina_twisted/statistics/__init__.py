"""The counters and measurements of a bus, and the reports on them, floor 1."""
