"""The Deferred-returning clients, floor 3: of a Lumina server, and of whatever speaks Modbus TCP."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.failure import Failure

from lumina_twisted.client.base import Client
from lumina_twisted.client.command import DEFAULT_TIMEOUT, CommandReply, CommandSettings, check_name, request_frame
from lumina_twisted.client.line_session import LineSession, check_word, not_told
from lumina_twisted.client.modbus_tcp_session import TRANSACTIONS, ModbusTcpSession
from lumina_twisted.client.units import PortHandle, Unit
from lumina_twisted.client.url import parse_url
from lumina_twisted.client.value_place import PORT, values_place, values_timeout
from lumina_twisted.client.values import DeviceHandle, LuminaValuesClient
from lumina_twisted.errors import LuminaError
from lumina_twisted.framing.mbap import MODBUS_TCP_PORT


class LuminaModbusClient(Client):
    """A client of a Lumina server.

    :param host: name or address of the server; a path that begins with ``/`` is its Unix socket.
    :param port: its TCP port.
    :param timeout: seconds that a command may take whose caller does not say.
    :param values_port: where it listens for values, for :meth:`device`: a TCP port of the same host, or the path of a
        Unix socket.
    :param endpoint: where to connect instead.
    :param values_endpoint: where to connect instead for values.
    :param reactor: for the connection and its times; the program's own if it is not given.
    :param now: a clock that never goes back, in seconds.
    """

    hint = "is Lumina running there?"

    def __init__(
        self, host: str = "127.0.0.1", port: int = 8888, *, timeout: float = DEFAULT_TIMEOUT,
        values_port: int | str = PORT, endpoint: IStreamClientEndpoint | None = None,
        values_endpoint: IStreamClientEndpoint | None = None, reactor: Any = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(host, port, LineSession, timeout=timeout, endpoint=endpoint, reactor=reactor, now=now)
        self._values_place = values_place(host, values_port)
        self._values_endpoint = values_endpoint
        self._values: LuminaValuesClient | None = None

    def close(self) -> Deferred[None]:
        """Ends all commands that are open (:class:`~lumina_twisted.errors.Cancelled`, or
        :class:`~lumina_twisted.errors.OutcomeUnknown` for a write that may have been sent) and the connections.

        :return: a Deferred that fires with None when the connections have ended; it does not fail.
        """
        values = succeed(None) if self._values is None else self._values.close()
        commands = super().close()
        return values.addCallback(lambda _: commands)

    def device(self, name: str) -> DeviceHandle:
        """One device, whose points have names: ``client.device("boiler").read("flow_temperature")``. It is asked over a
        connection of its own, to the server's listener for values, which is made when it is first used."""
        if self._values is None:
            host, port = self._values_place
            self._values = LuminaValuesClient(
                host, port, timeout=values_timeout(self.timeout), endpoint=self._values_endpoint,
                reactor=self._reactor, now=self._now,
            )
        return self._values.device(name)

    def send_command(
        self, name: str | dict[str, Any] = "", port: str = "", command: bytes | str = b"",
        baudrate: int | None = None, response_length: int = 0, timeout: float | None = None,
        **settings: Any,
    ) -> Deferred[CommandReply]:
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
        :return: a Deferred that fires once: with the reply (a broadcast's has an empty frame); or it fails with
            :class:`~lumina_twisted.errors.ModbusException` (the device said no),
            :class:`~lumina_twisted.errors.ResponseTimeout` (a read without an answer),
            :class:`~lumina_twisted.errors.OutcomeUnknown` (a write that may have been carried out),
            :class:`~lumina_twisted.errors.NotSent` or one of its subclasses (it has not been carried out),
            :class:`~lumina_twisted.errors.RequestError` (the caller's own fault) or
            :class:`~lumina_twisted.errors.ServerError`. Cancelling it lets the caller go at once: it fails with
            :class:`~lumina_twisted.errors.Cancelled`, or as *outcome unknown*; the next command is not touched by it.
            One whose answer has come already, with another's, ends with that answer.
        """
        if isinstance(name, Mapping):
            return self.send_command(**name)
        try:
            how = CommandSettings(baudrate=baudrate, timeout=timeout, **settings)
            frame = request_frame(command)
        except LuminaError:
            return fail()
        return self.request(frame, port, how, name=name, response_length=response_length)

    def port(self, name: str = "", **settings: Any) -> PortHandle:
        """One port of the server's.

        :param name: its name or path, as the server's configuration has it; empty for its first one.
        :param settings: what :class:`CommandSettings` has, for every request through this handle.
        :raises RequestError: if a setting cannot be.
        """
        return PortHandle(self, check_name(name, "the port"), CommandSettings(**settings))

    def ask(self, word: str) -> Deferred[tuple[str, ...]]:
        """Asks the server a word: ``help``, ``ports`` or ``stats``.

        :return: a Deferred that fires with the lines of its answer, or fails with
            :class:`~lumina_twisted.errors.NotConnected`, also if no answer comes within the client's timeout; with
            :class:`~lumina_twisted.errors.RequestError` if it is no word.
        """
        try:
            check_word(word)
        except LuminaError:
            return fail()

        def send(_: object) -> Deferred[tuple[str, ...]]:
            told: Deferred[tuple[str, ...]] = Deferred()
            self._session.ask(word, told)
            self._pump()
            return told

        def too_late(_: object, seconds: float) -> Failure:
            return Failure(not_told(self._server, word, seconds))

        return self.connect().addCallback(send).addTimeout(self.timeout, self._reactor, too_late)

    def unit(self, unit: int, **settings: Any) -> Unit:
        """A unit on the server's first port; see :meth:`port`."""
        return self.port("", **settings).unit(unit)


class ModbusTcpClient(Client):
    """A client of a device or a gateway that speaks Modbus TCP. Its units have the same functions as those of a Lumina
    server's ports.

    :param host: name or address.
    :param port: its TCP port.
    :param transactions: requests that are with it at a time; some devices lose what exceeds one.
    :param timeout: seconds that a request may take whose caller does not say.
    """

    def __init__(
        self, host: str = "127.0.0.1", port: int = MODBUS_TCP_PORT, *, transactions: int = TRANSACTIONS,
        timeout: float = DEFAULT_TIMEOUT, endpoint: IStreamClientEndpoint | None = None, reactor: Any = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(
            host, port, lambda server: ModbusTcpSession(server, transactions), timeout=timeout, endpoint=endpoint,
            reactor=reactor, now=now,
        )

    @property
    def late_replies(self) -> int:
        """How many replies came when nobody waited for them: too late, twice, or never asked. None of them counted."""
        late: int = self._session.late
        return late

    def unit(self, unit: int, timeout: float | None = None) -> Unit:
        """The device with that unit identifier; for one that has no units behind it, 255 or 1.

        :param timeout: seconds that a request through this handle may take.
        :raises RequestError: if that cannot be.
        """
        return PortHandle(self, "", CommandSettings(timeout=timeout)).unit(unit)


def client_from_url(url: str, **options: Any) -> LuminaModbusClient | ModbusTcpClient:
    """The client for ``lumina://HOST[:8888]`` or ``modbus://HOST[:502]``.

    :param options: those of the client's class.
    :raises RequestError: if the URL is none of these.
    """
    where = parse_url(url)
    kind: Any = ModbusTcpClient if where.scheme == "modbus" else LuminaModbusClient
    made: LuminaModbusClient | ModbusTcpClient = kind(where.host, where.port, **options)
    return made
