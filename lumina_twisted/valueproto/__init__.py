"""The grammar of the value lines, floor 0: names, readings, what is asked and what is answered."""
