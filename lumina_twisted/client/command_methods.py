"""The methods of the clients that send commands, floor 3; the same for Twisted and for asyncio."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from lumina_twisted.client.base import Client, Unsubscribe
from lumina_twisted.client.command import (
    CommandFailure,
    CommandReply,
    CommandSettings,
    PendingCommand,
    Reply,
    check_request,
    parse_request,
)
from lumina_twisted.client.command_sessions import TextAnswer
from lumina_twisted.client.session import Answered, Failed
from lumina_twisted.client.unit_methods import Operation, UnitMethods, operation
from lumina_twisted.errors import NotConnected
from lumina_twisted.framing.rtu import decode_adu
from lumina_twisted.modbus.calls import Call

T = TypeVar("T")


class CommandClient(Client):
    """A client that sends commands. A face adds ``_run``, which submits an operation."""

    @operation
    def request(
        self, frame: bytes, port: str, settings: CommandSettings, *, name: str = "", response_length: int = 0
    ) -> Operation[CommandReply]:
        """Sends a whole RTU frame. The results and failures are those of :meth:`LuminaModbusClient.send_command`."""
        return self._command(*decode_adu(frame), port, settings, name, response_length)

    def subscribe(self, observer: Callable[[CommandReply | CommandFailure], object]) -> Unsubscribe:
        """Calls ``observer`` with the outcome of each command, after the caller has got it. If ``observer`` raises, the
        exception is logged.

        :return: a function that ends the subscription.
        """
        self._observers.append(observer)

        def unsubscribe() -> None:
            if observer in self._observers:
                self._observers.remove(observer)

        return unsubscribe

    def _command(
        self, unit: int, pdu: bytes, port: str, settings: CommandSettings, name: str, response_length: int = 0
    ) -> Operation[CommandReply]:
        pending = self._pending(unit, pdu, port, settings, name, response_length)
        return Operation(pending, partial(CommandReply.of, pending))

    def _pending(
        self, unit: int, pdu: bytes, port: str, settings: CommandSettings, name: str = "", response_length: int = 0
    ) -> PendingCommand:
        """Makes a command that can be submitted.

        :raises RequestError: if it is invalid, or the protocol cannot carry it.
        """
        self._session.check(name, port, settings)
        check_request(unit, pdu)
        wait = self.timeout if settings.timeout is None else settings.timeout
        return PendingCommand(name, port, unit, pdu, settings, self._now() + wait, response_length)

    def _deliver(self, event: Any) -> None:
        super()._deliver(event)
        if isinstance(event, TextAnswer):
            lost = NotConnected(f"the connection to {self._server} was lost; is it a Lumina server?")
            self._settle(event.caller, event.lines or lost)
        elif self._observers and isinstance(event, Answered | Failed):
            command, outcome = event
            end: CommandReply | CommandFailure
            if isinstance(outcome, Reply):
                end = CommandReply.of(command, outcome)
            else:
                end = CommandFailure(command.command_id, command.name, command.lane, outcome)
            for observer in tuple(self._observers):
                self._call(observer, end, "an observer of commands failed")


class LineClient(CommandClient):
    """A client of a Lumina server."""

    hint = "is Lumina running there?"

    @operation
    def send_command(
        self, /, name: str | dict[str, Any] = "", port: str = "", command: bytes | str = b"",
        baudrate: int | None = None, response_length: int = 0, timeout: float | None = None, **settings: Any,
    ) -> Operation[CommandReply]:
        """Sends one request frame (M9).

        :param name: any name, for logs and observers; or a mapping of all parameters, as ``RetryManager`` gives it.
        :param port: name or path of a port, as the server's configuration has it; empty for the server's first port.
        :param command: unit and PDU without the CRC, as bytes or hexadecimal digits.
        :param baudrate: baud rate for the frame, if it differs from the port's.
        :param response_length: a guess of the length of the reply's frame, in bytes. It is used only for functions that
            are not in the specification; the frames of all others show their own length.
        :param timeout: seconds that the caller waits for the reply.
        :param settings: ``parity``, ``bytesize``, ``stopbits``, ``retries``, ``priority`` and ``max_age``, as
            :class:`CommandSettings` has them.
        :return: the reply (a broadcast's has an empty frame); or it fails with
            :class:`~lumina_twisted.errors.ModbusException` (the device refused),
            :class:`~lumina_twisted.errors.ResponseTimeout` (a read without an answer),
            :class:`~lumina_twisted.errors.OutcomeUnknown` (a write that may have been carried out),
            :class:`~lumina_twisted.errors.NotSent` or one of its subclasses (it has not been carried out),
            :class:`~lumina_twisted.errors.RequestError` (a mistake of the caller) or
            :class:`~lumina_twisted.errors.ServerError`. If a Deferred is cancelled, it fails at once, with
            :class:`~lumina_twisted.errors.Cancelled` or as *outcome unknown*, and the next command is not affected. If
            the answer has already been received, the Deferred ends with that answer.
        """
        if isinstance(name, Mapping):
            return self._command_of(**name)
        return self._command_of(name, port, command, baudrate, response_length, timeout, **settings)

    def _command_of(
        self, name: Any = "", port: str = "", command: bytes | str = b"", baudrate: int | None = None,
        response_length: int = 0, timeout: float | None = None, **settings: Any,
    ) -> Operation[CommandReply]:
        how = CommandSettings(baudrate=baudrate, timeout=timeout, **settings)
        return self._command(*parse_request(command), port, how, name, response_length)


class TcpClient(CommandClient):
    """A client of a device or gateway that speaks Modbus TCP."""

    @property
    def late_replies(self) -> int:
        """The number of dropped replies for which no request was open: late, repeated or unrequested replies."""
        late: int = self._session.late
        return late


class ClientUnit(UnitMethods):
    """A unit behind a client's port, for :class:`~lumina_twisted.client.unit_methods.UnitMethods`."""

    __slots__ = ()
    port: Any
    unit: int

    def _run(self, make: Callable[[], Call[T]]) -> Any:
        return self.port.client._run(lambda: self._operation(make()))

    def _operation(self, call: Call[T]) -> Operation[T]:
        port = self.port
        pending = port.client._pending(self.unit, call.request.encode(), port.name, port.settings)

        def result(reply: Reply) -> Any:
            got = call.result(reply.pdu)
            return self._operation(got) if isinstance(got, Call) else got

        return Operation(pending, result)
