"""Handles of the Deferred-returning client, floor 3: a port, and a unit on it with the public functions as methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred, fail

from lumina_twisted.client.command import CommandSettings, request_frame
from lumina_twisted.errors import LuminaError
from lumina_twisted.modbus import calls, pdu
from lumina_twisted.modbus.calls import Call

if TYPE_CHECKING:
    from lumina_twisted.client.base import Client

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

    Every method returns a Deferred that fires with the values, or fails as
    :meth:`LuminaModbusClient.send_command` says; what breaks the specification's limits fails with
    :class:`~lumina_twisted.errors.RequestError` and is not sent.
    """

    port: PortHandle
    unit: int

    def _ask(self, make: Callable[P, Call[T]], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        try:
            call = make(*args, **kwargs)
            frame = request_frame(call.request.encode(), self.unit)
        except LuminaError:
            return fail()
        reply = self.port.client.request(frame, self.port.name, self.port.settings)
        return reply.addCallback(lambda got: call.result(got.pdu))

    def request(self, request: pdu.Request) -> Deferred[pdu.Reply]:
        """Any request of :mod:`lumina_twisted.modbus.pdu`; fires with the reply as it is."""
        return self._ask(calls.raw, request)

    def read_coils(self, address: int, quantity: int = 1) -> Deferred[tuple[bool, ...]]:
        """FC 01: ``quantity`` coils, 1 to 2000, from ``address`` on."""
        return self._ask(calls.read_coils, address, quantity)

    def read_discrete_inputs(self, address: int, quantity: int = 1) -> Deferred[tuple[bool, ...]]:
        """FC 02: ``quantity`` discrete inputs, 1 to 2000, from ``address`` on."""
        return self._ask(calls.read_discrete_inputs, address, quantity)

    def read_holding_registers(self, address: int, quantity: int = 1) -> Deferred[tuple[int, ...]]:
        """FC 03: ``quantity`` holding registers, 1 to 125, from ``address`` on."""
        return self._ask(calls.read_holding_registers, address, quantity)

    def read_input_registers(self, address: int, quantity: int = 1) -> Deferred[tuple[int, ...]]:
        """FC 04: ``quantity`` input registers, 1 to 125, from ``address`` on."""
        return self._ask(calls.read_input_registers, address, quantity)

    def write_single_coil(self, address: int, value: bool) -> Deferred[None]:
        """FC 05: switches one coil; fires when the device has confirmed it."""
        return self._ask(calls.write_single_coil, address, value)

    def write_single_register(self, address: int, value: int) -> Deferred[None]:
        """FC 06: sets one holding register; fires when the device has confirmed it."""
        return self._ask(calls.write_single_register, address, value)

    def write_multiple_coils(self, address: int, values: Sequence[bool]) -> Deferred[None]:
        """FC 15: switches 1 to 1968 coils from ``address`` on; fires when the device has confirmed it."""
        return self._ask(calls.write_multiple_coils, address, values)

    def write_multiple_registers(self, address: int, values: Sequence[int]) -> Deferred[None]:
        """FC 16: sets 1 to 123 holding registers from ``address`` on; fires when the device has confirmed it."""
        return self._ask(calls.write_multiple_registers, address, values)

    def mask_write_register(self, address: int, and_mask: int, or_mask: int) -> Deferred[None]:
        """FC 22: the register becomes ``(register AND and_mask) OR (or_mask AND NOT and_mask)``."""
        return self._ask(calls.mask_write_register, address, and_mask, or_mask)

    def read_write_multiple_registers(
        self, read_address: int, quantity: int, write_address: int, values: Sequence[int]
    ) -> Deferred[tuple[int, ...]]:
        """FC 23: sets 1 to 121 registers from ``write_address`` on, then reads ``quantity``."""
        return self._ask(calls.read_write_multiple_registers, read_address, quantity, write_address, values)

    def read_exception_status(self) -> Deferred[int]:
        """FC 07: eight outputs of the device's own choice, as the bits of a byte."""
        return self._ask(calls.read_exception_status)

    def diagnostics(self, sub_function: int, data: bytes = b"\0\0") -> Deferred[bytes]:
        """FC 08: the data of the reply; sub-function 0 returns what was sent."""
        return self._ask(calls.diagnostics, sub_function, data)

    def get_comm_event_counter(self) -> Deferred[pdu.GetCommEventCounterReply]:
        """FC 11: ``status`` and ``event_count``."""
        return self._ask(calls.get_comm_event_counter)

    def get_comm_event_log(self) -> Deferred[pdu.GetCommEventLogReply]:
        """FC 12: ``status``, ``event_count``, ``message_count`` and ``events``."""
        return self._ask(calls.get_comm_event_log)

    def report_server_id(self) -> Deferred[bytes]:
        """FC 17: server id, run indicator and whatever else the device tells."""
        return self._ask(calls.report_server_id)

    def read_file_record(self, references: Sequence[pdu.RecordReference]) -> Deferred[tuple[tuple[int, ...], ...]]:
        """FC 20: the registers of each run of records that is asked."""
        return self._ask(calls.read_file_record, references)

    def write_file_record(self, records: Sequence[pdu.FileRecord]) -> Deferred[None]:
        """FC 21: writes runs of records."""
        return self._ask(calls.write_file_record, records)

    def read_fifo_queue(self, address: int) -> Deferred[tuple[int, ...]]:
        """FC 24: up to 31 registers of the queue at ``address``, which stay in it."""
        return self._ask(calls.read_fifo_queue, address)

    def read_device_identification(self, read_code: int = 1) -> Deferred[dict[int, bytes]]:
        """FC 43/14: the objects by id, all pages; ``read_code`` 1 basic, 2 regular, 3 extended."""
        found: dict[int, bytes] = {}

        def take(reply: pdu.ReadDeviceIdentificationReply) -> dict[int, bytes] | Deferred[dict[int, bytes]]:
            following = calls.next_page(found, reply)
            if following is None:
                return found
            return self._ask(calls.read_device_identification, read_code, following).addCallback(take)

        return self._ask(calls.read_device_identification, read_code, 0).addCallback(take)
