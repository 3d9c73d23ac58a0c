"""Simulated buses, floor 2: RTU devices behind pseudo-terminals, with the time that a wire takes."""
