"""Simulated buses, floor 2: RTU devices behind pseudo-terminals, with the timing of a real wire."""
