"""Who may speak on a bus, and when, floor 1. Sans-IO: bytes and `now` are arguments, nothing here reads a clock."""
