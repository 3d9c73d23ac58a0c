"""Modbus itself: what the bytes mean. Floor 0: pure functions and frozen values, no clock and no I/O."""
