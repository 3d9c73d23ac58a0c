"""Handles of the client for asyncio programs, floor 3: a port, and a unit on it with the functions as methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from attrs import frozen

from lumina_twisted.client.command import CommandSettings, request_frame
from lumina_twisted.modbus import calls, pdu
from lumina_twisted.modbus.calls import Call

if TYPE_CHECKING:
    from lumina_twisted.client.aio_base import Client

P = ParamSpec("P")
T = TypeVar("T")


@frozen
class PortHandle:
    """One port of a server's, and how requests through this handle are sent."""

    client: Client
    name: str
    settings: CommandSettings

    def unit(self, unit: int) -> Unit:
        """The device with that unit identifier; 0 is every device at once, for writes."""
        return Unit(self, unit)


@frozen
class Unit:
    """One unit behind a port.

    Every method returns the values, or raises what :meth:`lumina_twisted.client.LuminaModbusClient.send_command`
    says; what breaks the specification's limits raises :class:`~lumina_twisted.errors.RequestError` and is not sent.
    """

    port: PortHandle
    unit: int

    async def _ask(self, make: Callable[P, Call[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        call = make(*args, **kwargs)
        frame = request_frame(call.request.encode(), self.unit)
        got = await self.port.client.request(frame, self.port.name, self.port.settings)
        return call.result(got.pdu)

    async def request(self, request: pdu.Request) -> pdu.Reply:
        """Any request of :mod:`lumina_twisted.modbus.pdu`; returns the reply as it is."""
        return await self._ask(calls.raw, request)

    async def read_coils(self, address: int, quantity: int = 1) -> tuple[bool, ...]:
        """FC 01: ``quantity`` coils, 1 to 2000, from ``address`` on."""
        return await self._ask(calls.read_coils, address, quantity)

    async def read_discrete_inputs(self, address: int, quantity: int = 1) -> tuple[bool, ...]:
        """FC 02: ``quantity`` discrete inputs, 1 to 2000, from ``address`` on."""
        return await self._ask(calls.read_discrete_inputs, address, quantity)

    async def read_holding_registers(self, address: int, quantity: int = 1) -> tuple[int, ...]:
        """FC 03: ``quantity`` holding registers, 1 to 125, from ``address`` on."""
        return await self._ask(calls.read_holding_registers, address, quantity)

    async def read_input_registers(self, address: int, quantity: int = 1) -> tuple[int, ...]:
        """FC 04: ``quantity`` input registers, 1 to 125, from ``address`` on."""
        return await self._ask(calls.read_input_registers, address, quantity)

    async def write_single_coil(self, address: int, value: bool) -> None:
        """FC 05: switches one coil; returns when the device has confirmed it."""
        await self._ask(calls.write_single_coil, address, value)

    async def write_single_register(self, address: int, value: int) -> None:
        """FC 06: sets one holding register; returns when the device has confirmed it."""
        await self._ask(calls.write_single_register, address, value)

    async def write_multiple_coils(self, address: int, values: Sequence[bool]) -> None:
        """FC 15: switches 1 to 1968 coils from ``address`` on; returns when the device has confirmed it."""
        await self._ask(calls.write_multiple_coils, address, values)

    async def write_multiple_registers(self, address: int, values: Sequence[int]) -> None:
        """FC 16: sets 1 to 123 holding registers from ``address`` on; returns when the device has confirmed it."""
        await self._ask(calls.write_multiple_registers, address, values)

    async def mask_write_register(self, address: int, and_mask: int, or_mask: int) -> None:
        """FC 22: the register becomes ``(register AND and_mask) OR (or_mask AND NOT and_mask)``."""
        await self._ask(calls.mask_write_register, address, and_mask, or_mask)

    async def read_write_multiple_registers(
        self, read_address: int, quantity: int, write_address: int, values: Sequence[int]
    ) -> tuple[int, ...]:
        """FC 23: sets 1 to 121 registers from ``write_address`` on, then reads ``quantity``."""
        return await self._ask(calls.read_write_multiple_registers, read_address, quantity, write_address, values)

    async def read_exception_status(self) -> int:
        """FC 07: eight outputs of the device's own choice, as the bits of a byte."""
        return await self._ask(calls.read_exception_status)

    async def diagnostics(self, sub_function: int, data: bytes = b"\0\0") -> bytes:
        """FC 08: the data of the reply; sub-function 0 returns what was sent."""
        return await self._ask(calls.diagnostics, sub_function, data)

    async def get_comm_event_counter(self) -> pdu.GetCommEventCounterReply:
        """FC 11: ``status`` and ``event_count``."""
        return await self._ask(calls.get_comm_event_counter)

    async def get_comm_event_log(self) -> pdu.GetCommEventLogReply:
        """FC 12: ``status``, ``event_count``, ``message_count`` and ``events``."""
        return await self._ask(calls.get_comm_event_log)

    async def report_server_id(self) -> bytes:
        """FC 17: server id, run indicator and whatever else the device tells."""
        return await self._ask(calls.report_server_id)

    async def read_file_record(self, references: Sequence[pdu.RecordReference]) -> tuple[tuple[int, ...], ...]:
        """FC 20: the registers of each run of records that is asked."""
        return await self._ask(calls.read_file_record, references)

    async def write_file_record(self, records: Sequence[pdu.FileRecord]) -> None:
        """FC 21: writes runs of records."""
        await self._ask(calls.write_file_record, records)

    async def read_fifo_queue(self, address: int) -> tuple[int, ...]:
        """FC 24: up to 31 registers of the queue at ``address``, which stay in it."""
        return await self._ask(calls.read_fifo_queue, address)

    async def read_device_identification(self, read_code: int = 1) -> dict[int, bytes]:
        """FC 43/14: the objects by id, all pages; ``read_code`` 1 basic, 2 regular, 3 extended."""
        found: dict[int, bytes] = {}
        following: int | None = 0
        while following is not None:
            page = await self._ask(calls.read_device_identification, read_code, following)
            following = calls.next_page(found, page)
        return found
