"""Devices and values."""
