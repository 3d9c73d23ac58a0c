"""A connection of a pool's, floor 2, and a unit behind it with the public functions as methods."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred, fail, succeed

from lumina_twisted.access.caller import Caller, Terms
from lumina_twisted.awaiting import in_callers_world
from lumina_twisted.errors import LuminaError, PortClosed
from lumina_twisted.framing.rtu import OVERHEAD
from lumina_twisted.modbus import calls, pdu
from lumina_twisted.modbus.calls import Call
from lumina_twisted.modbus.settings import SerialSettings
from lumina_twisted.ports.service import PortService
from lumina_twisted.priority import Priority

P = ParamSpec("P")
T = TypeVar("T")

DEFAULT_TIMEOUT: Final = 5.0
"""Seconds that a caller waits who does not say: for a connection, and for a reply."""


class Connection:
    """A port that is open, and somebody's own turn at its bus. If the device goes, what is asked fails at once, until
    it is back.

    Use it as ``async with await pool.get_connection(…) as connection``, or :meth:`close` it.

    :param port: which is held.
    :param serial: the settings of what is asked.
    :param let_go: ends that the port is held.
    """

    def __init__(self, port: PortService, serial: SerialSettings, let_go: Callable[[], None]) -> None:
        self._port = port
        self.serial = serial
        self._let_go = let_go
        self.caller = Caller(repr(self))
        self._is_closed = False
        self._pending = 0
        self._waiting_for_end: list[Deferred[None]] = []

    def __repr__(self) -> str:
        return f"<Connection to {self.name} at {self.serial}>"

    @property
    def name(self) -> str:
        """The path of its port."""
        return self._port.name

    @property
    def baudrate(self) -> int:
        """At which it asks."""
        return self.serial.baudrate

    @property
    def is_open(self) -> bool:
        """Whether its device is open, and it was not given back."""
        return self._port.is_open and not self._is_closed

    def unit(self, unit: int, **how: Any) -> PooledUnit:
        """The device with that unit identifier; 0 is every device at once, for writes.

        :param how: ``timeout``, ``retries``, ``priority`` and ``max_age``, as :meth:`request` has them.
        """
        return PooledUnit(self, unit, how)

    def request(self, unit: int, pdu: bytes, **how: Any) -> Any:
        """Asks a unit something.

        :param pdu: function code and data.
        :param how: ``timeout`` (seconds that the caller waits, 5), ``retries``, ``response_length``, ``priority`` and
            ``max_age``, as :meth:`lumina_twisted.ports.interfaces.Port.request` has them.
        :return: something to await: it gives the reply's whole RTU frame, or fails, as that.
        """
        return in_callers_world(self.ask(unit, pdu, **how))

    def ask(
        self, unit: int, pdu: bytes, *, timeout: float = DEFAULT_TIMEOUT, retries: int | None = None,
        response_length: int = 0, priority: Priority | None = None, max_age: float | None = None,
    ) -> Deferred[bytes]:
        """As :meth:`request`; a Deferred wherever it is called."""
        if self._is_closed:
            return fail(PortClosed(f"the connection to {self.name} was given back; get another one from the pool"))
        self._pending += 1
        terms = Terms(timeout, self.serial, retries, max(0, response_length - OVERHEAD), priority, max_age)
        asked = self._port.request(self.caller, unit, pdu, terms)
        return asked.addBoth(self._ended)

    def close(self) -> Any:
        """Gives it back. What it was asked before ends first; nothing more may be asked.

        :return: something to await: it gives None when it is given back, and does not fail.
        """
        if self._is_closed and not self._pending:
            return in_callers_world(succeed(None))
        self._is_closed = True
        done: Deferred[None] = Deferred()
        self._waiting_for_end.append(done)
        self._give_back_if_done()
        return in_callers_world(done)

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def _ended(self, result: Any) -> Any:
        self._pending -= 1
        if self._is_closed:
            self._give_back_if_done()
        return result

    def _give_back_if_done(self) -> None:
        if self._pending:
            return
        waiting, self._waiting_for_end = self._waiting_for_end, []
        if waiting:
            self._let_go()
        for done in waiting:
            done.callback(None)


def _function(make: Callable[P, Call[T]]) -> Callable[Concatenate[PooledUnit, P], Awaitable[T]]:
    """A method that asks what a call of that name is."""

    @wraps(make)
    def ask(self: PooledUnit, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        asked: Awaitable[T] = in_callers_world(self.ask(partial(make, *args, **kwargs)))
        return asked

    return ask  # type: ignore[return-value]


@frozen
class PooledUnit:
    """One unit behind a connection. Its methods have the parameters of :mod:`lumina_twisted.modbus.calls`; each returns
    something to await, which gives the values or fails as :meth:`Connection.request`. What breaks the specification's
    limits fails with :class:`~lumina_twisted.errors.RequestError`, and is not sent."""

    connection: Connection
    unit: int
    how: dict[str, Any]

    request = _function(calls.raw)
    read_coils = _function(calls.read_coils)
    read_discrete_inputs = _function(calls.read_discrete_inputs)
    read_holding_registers = _function(calls.read_holding_registers)
    read_input_registers = _function(calls.read_input_registers)
    write_single_coil = _function(calls.write_single_coil)
    write_single_register = _function(calls.write_single_register)
    write_multiple_coils = _function(calls.write_multiple_coils)
    write_multiple_registers = _function(calls.write_multiple_registers)
    mask_write_register = _function(calls.mask_write_register)
    read_write_multiple_registers = _function(calls.read_write_multiple_registers)
    read_exception_status = _function(calls.read_exception_status)
    diagnostics = _function(calls.diagnostics)
    get_comm_event_counter = _function(calls.get_comm_event_counter)
    get_comm_event_log = _function(calls.get_comm_event_log)
    report_server_id = _function(calls.report_server_id)
    read_file_record = _function(calls.read_file_record)
    write_file_record = _function(calls.write_file_record)
    read_fifo_queue = _function(calls.read_fifo_queue)

    def read_device_identification(self, read_code: int = 1) -> Awaitable[dict[int, bytes]]:
        """FC 43/14: the objects by id, all pages; ``read_code`` 1 basic, 2 regular, 3 extended."""
        pages: Awaitable[dict[int, bytes]] = in_callers_world(Deferred.fromCoroutine(self._all_pages(read_code)))
        return pages

    def ask(self, make: Callable[[], Call[T]]) -> Deferred[T]:
        """Asks what a call is; a Deferred wherever it is called."""
        try:
            call = make()
        except LuminaError:
            return fail()
        return self.connection.ask(self.unit, call.request.encode(), **self.how).addCallback(
            lambda frame: call.result(frame[1:-2])
        )

    async def _all_pages(self, read_code: int) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        following: int | None = 0
        while following is not None:
            page: pdu.ReadDeviceIdentificationReply = await self.ask(
                partial(calls.read_device_identification, read_code, following)
            )
            following = calls.next_page(found, page)
        return found
