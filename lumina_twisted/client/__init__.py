"""The clients for a Lumina server and for Modbus TCP, floor 3. The clients here return Deferreds; those of the same
names in :mod:`lumina_twisted.client.aio` return awaitables. Of the server's code, they import only floor 0 and the
module that keeps connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lumina_twisted.client.command import CommandFailure, CommandReply, CommandSettings
from lumina_twisted.client.value_watches import ValueReading
from lumina_twisted.valueproto.reading import PointDescription, Quality

if TYPE_CHECKING:
    from lumina_twisted.client.deferreds import (
        DeviceHandle,
        LuminaModbusClient,
        LuminaValuesClient,
        ModbusTcpClient,
        PortHandle,
        Unit,
        client_from_url,
    )

__all__ = [
    "CommandFailure", "CommandReply", "CommandSettings", "DeviceHandle", "LuminaModbusClient", "LuminaValuesClient",
    "ModbusTcpClient", "PointDescription", "PortHandle", "Quality", "Unit", "ValueReading", "client_from_url",
]


def __getattr__(name: str) -> Any:
    """Imports the clients for Twisted when one is first used: an asyncio program does not need Twisted."""
    if name in __all__:
        from lumina_twisted.client import deferreds

        return getattr(deferreds, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
