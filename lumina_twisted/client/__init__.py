"""The clients of a Lumina server and of Modbus TCP, floor 3: Deferreds here, awaitables of the same names in
:mod:`lumina_twisted.client.aio`. They need nothing of the server's code but floor 0 and how connections are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lumina_twisted.client.command import CommandFailure, CommandReply, CommandSettings
from lumina_twisted.client.value_watches import ValueReading
from lumina_twisted.valueproto.point import PointDescription
from lumina_twisted.valueproto.reading import Quality

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
    """An asyncio program need not wait for Twisted to be imported."""
    if name in __all__:
        from lumina_twisted.client import deferreds

        return getattr(deferreds, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
