"""Named points instead of registers, floor 3: what devices are, what they said last, and who asks them."""
