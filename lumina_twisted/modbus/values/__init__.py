"""Numbers, texts and bits in registers, floor 0."""
