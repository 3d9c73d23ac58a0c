"""Test doubles, floor 4: for authors of programs that use the client, and of protocols that use the ports.

:class:`MemoryPort` is a port without a wire. :class:`ScriptedDevice` is a device that answers as a test says.
:class:`MemoryServer` is the real line front-end over such ports, with real clients connected to it in memory.
:class:`MemoryListener` is any front-end; a test connects clients to it and sends their bytes. :class:`MemoryValues`
are named values without a device, for such a front-end. Nothing waits and no thread runs: a request is answered before
the call returns, and time passes only when a test calls ``clock.advance``.
"""

from lumina_twisted.testing.listener import MemoryConnection, MemoryListener, MemoryServer, memory_context
from lumina_twisted.testing.ports import Asked, Device, MemoryPort, MemoryPorts, Outcome, ScriptedDevice
from lumina_twisted.testing.values import AskedValue, MemoryValues, ValueOutcome

__all__ = [
    "Asked", "AskedValue", "Device", "MemoryConnection", "MemoryListener", "MemoryPort", "MemoryPorts", "MemoryServer",
    "MemoryValues", "Outcome", "ScriptedDevice", "ValueOutcome", "memory_context",
]
