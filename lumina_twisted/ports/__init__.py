"""Moving the bytes, floor 2: serial ports as Twisted transports, and the protocol that drives a bus over one."""
