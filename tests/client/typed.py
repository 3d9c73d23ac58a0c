"""What a type checker sees of the client's methods: mypy reads this file, nothing runs it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, assert_type

from twisted.internet.defer import Deferred

from lumina_twisted.client import CommandReply, LuminaModbusClient, ModbusTcpClient, PointDescription, ValueReading, aio
from lumina_twisted.helpers.pooling import PooledUnit


def deferreds(client: LuminaModbusClient, gateway: ModbusTcpClient) -> None:
    """The client for Twisted."""
    unit = client.port("boiler").unit(1)
    assert_type(unit.read_coils(0, quantity=8), Deferred[tuple[bool, ...]])
    assert_type(unit.write_single_register(0, 7), Deferred[None])
    assert_type(gateway.unit(1).read_device_identification(), Deferred[dict[int, bytes]])
    assert_type(client.send_command("any", port="boiler", command=b"\1\7"), Deferred[CommandReply])
    assert_type(client.device("boiler").read("flow", fresh=True), Deferred[ValueReading])
    assert_type(client.device("boiler").watch(print), Deferred[Callable[[], None]])
    unit.read_coils("0")  # type: ignore[arg-type]
    unit.read_coils()  # type: ignore[call-arg]
    unit.write_single_register(0, valeu=7)  # type: ignore[call-arg]


async def coroutines(client: aio.LuminaModbusClient, values: aio.LuminaValuesClient) -> None:
    """The client for asyncio."""
    assert_type(client.unit(1).read_input_registers(0, 2), Coroutine[Any, Any, tuple[int, ...]])  # type: ignore[unused-coroutine]
    assert_type(await client.send_command({"port": "boiler"}), CommandReply)
    assert_type(await values.list(), tuple[PointDescription, ...])
    assert_type(await values.device("boiler").configure(poll=2), Mapping[str, Any])


def awaitables(unit: PooledUnit) -> None:
    """A unit of the pool."""
    assert_type(unit.read_holding_registers(0), Awaitable[tuple[int, ...]])
