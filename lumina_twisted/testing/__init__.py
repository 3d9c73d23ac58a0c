"""Test doubles, floor 4: for whoever writes a program on the client, or a protocol on the ports.

:class:`MemoryPort` is a port without a wire, :class:`ScriptedDevice` a device that answers as a test says.
:class:`MemoryServer` is the real line front-end over such ports, with real clients connected to it in memory;
:class:`MemoryListener` any front-end, with whoever a test wants to be connected to it; :class:`MemoryValues` are named
values for it without a device. Nothing waits and no thread
runs: what is asked is answered before the call returns, and time passes when ``clock.advance`` says so.
"""

from lumina_twisted.testing.listener import MemoryConnection, MemoryListener, MemoryServer, memory_context
from lumina_twisted.testing.ports import Asked, Device, MemoryPort, MemoryPorts, Outcome, ScriptedDevice
from lumina_twisted.testing.values import AskedValue, MemoryValues, ValueOutcome

__all__ = [
    "Asked", "AskedValue", "Device", "MemoryConnection", "MemoryListener", "MemoryPort", "MemoryPorts", "MemoryServer",
    "MemoryValues", "Outcome", "ScriptedDevice", "ValueOutcome", "memory_context",
]
