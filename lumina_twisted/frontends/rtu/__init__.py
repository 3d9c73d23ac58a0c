"""The front-ends that speak RTU, floor 4: over TCP, at a serial device, and at a virtual serial port."""
