"""Named points instead of registers, floor 3: descriptions of devices, their last values, and polling."""
