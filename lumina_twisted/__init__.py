"""Lumina: one daemon that owns serial ports and shares the Modbus devices behind them."""

__version__ = "0.1.0"
