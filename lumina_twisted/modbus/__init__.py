"""Modbus itself, floor 0: what the bytes mean. Pure functions and frozen values, no clock and no I/O."""
