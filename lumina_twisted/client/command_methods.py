"""What the clients that send commands have in common, floor 3: their methods, once for both faces."""

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
from lumina_twisted.client.command_sessions import LabelAnswer
from lumina_twisted.client.methods import Operation, UnitMethods, operation
from lumina_twisted.client.session import Answered, Failed
from lumina_twisted.errors import NotConnected
from lumina_twisted.framing.rtu import decode_adu
from lumina_twisted.modbus.calls import Call

T = TypeVar("T")


class CommandClient(Client):
    """A client of one server, and its commands. A face adds ``_run``, which submits an operation."""

    @operation
    def request(
        self, frame: bytes, port: str, settings: CommandSettings, *, name: str = "", response_length: int = 0
    ) -> Operation[CommandReply]:
        """Sends a whole RTU frame; ends as :meth:`LuminaModbusClient.send_command` does."""
        return self._command(*decode_adu(frame), port, settings, name, response_length)

    def subscribe(self, observer: Callable[[CommandReply | CommandFailure], object]) -> Unsubscribe:
        """Has ``observer`` called with each command's end, after the caller has it. What it raises is logged.

        :return: a function that ends this.
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
        """A command that may be submitted.

        :raises RequestError: if the server cannot be asked that.
        """
        self._session.check(name, port, settings)
        check_request(unit, pdu)
        wait = self.timeout if settings.timeout is None else settings.timeout
        return PendingCommand(name, port, unit, pdu, settings, self._now() + wait, response_length)

    def _deliver(self, event: Any) -> None:
        super()._deliver(event)
        if isinstance(event, LabelAnswer):
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

        :param name: what its caller calls it; or all that follows in one mapping, as ``RetryManager`` hands it on.
        :param port: name or path of a port, as the server's configuration has it; empty for its first one.
        :param command: unit and PDU without the CRC, as bytes or hexadecimal digits.
        :param baudrate: speed of the frame, if it is not the port's.
        :param response_length: bytes of the reply's frame as the caller guesses it. The frame tells its length itself;
            this is looked at for functions only that are not in the specification.
        :param timeout: seconds that the caller waits.
        :param settings: ``parity``, ``bytesize``, ``stopbits``, ``retries``, ``priority`` and ``max_age``, as
            :class:`CommandSettings` has them.
        :return: the reply (a broadcast's has an empty frame); or it fails with
            :class:`~lumina_twisted.errors.ModbusException` (the device said no),
            :class:`~lumina_twisted.errors.ResponseTimeout` (a read without an answer),
            :class:`~lumina_twisted.errors.OutcomeUnknown` (a write that may have been carried out),
            :class:`~lumina_twisted.errors.NotSent` or one of its subclasses (it has not been carried out),
            :class:`~lumina_twisted.errors.RequestError` (the caller's own fault) or
            :class:`~lumina_twisted.errors.ServerError`. A caller who cancels it stops waiting at once: a Deferred fails
            with :class:`~lumina_twisted.errors.Cancelled`, or as *outcome unknown*. The next command is not affected.
            One whose answer has come already, with another's, ends with that answer.
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


class ClientUnit(UnitMethods):
    """A unit behind a client's port, for :class:`~lumina_twisted.client.methods.UnitMethods`."""

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
