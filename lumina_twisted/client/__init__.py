"""The clients of a Lumina server and of Modbus TCP, floor 3: Deferreds here, awaitables of the same names in
:mod:`lumina_twisted.client.aio`. They need nothing of the server's code but floor 0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lumina_twisted.client.command import CommandFailure, CommandReply, CommandSettings
from lumina_twisted.client.value_reading import ValueReading
from lumina_twisted.valueproto.point import PointDescription
from lumina_twisted.valueproto.reading import Quality

if TYPE_CHECKING:
    from lumina_twisted.client.client import LuminaModbusClient, ModbusTcpClient, client_from_url
    from lumina_twisted.client.units import PortHandle, Unit
    from lumina_twisted.client.values import DeviceHandle, LuminaValuesClient

__all__ = [
    "CommandFailure", "CommandReply", "CommandSettings", "DeviceHandle", "LuminaModbusClient", "LuminaValuesClient",
    "ModbusTcpClient", "PointDescription", "PortHandle", "Quality", "Unit", "ValueReading", "client_from_url",
]


def __getattr__(name: str) -> Any:
    """An asyncio program need not wait for Twisted to be imported."""
    if name in {"LuminaModbusClient", "ModbusTcpClient", "client_from_url"}:
        from lumina_twisted.client import client

        return getattr(client, name)
    if name in {"PortHandle", "Unit"}:
        from lumina_twisted.client import units

        return getattr(units, name)
    if name in {"DeviceHandle", "LuminaValuesClient"}:
        from lumina_twisted.client import values

        return getattr(values, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
