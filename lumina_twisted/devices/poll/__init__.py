"""Reading points at their intervals, floor 3."""
