"""The clients for asyncio programs, floor 3: the names of :mod:`lumina_twisted.client`, with awaitables."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from lumina_twisted.client.aio_base import Client
from lumina_twisted.client.aio_units import PortHandle, Unit
from lumina_twisted.client.aio_values import DeviceHandle, LuminaValuesClient
from lumina_twisted.client.command import (
    DEFAULT_TIMEOUT,
    CommandFailure,
    CommandReply,
    CommandSettings,
    check_name,
    request_frame,
)
from lumina_twisted.client.line_session import LineSession, check_word, not_told
from lumina_twisted.client.modbus_tcp_session import TRANSACTIONS, ModbusTcpSession
from lumina_twisted.client.url import parse_url
from lumina_twisted.client.value_place import PORT, values_place, values_timeout
from lumina_twisted.client.value_reading import ValueReading
from lumina_twisted.framing.mbap import MODBUS_TCP_PORT
from lumina_twisted.valueproto.point import PointDescription
from lumina_twisted.valueproto.reading import Quality

__all__ = [
    "CommandFailure", "CommandReply", "CommandSettings", "DeviceHandle", "LuminaModbusClient", "LuminaValuesClient",
    "ModbusTcpClient", "PointDescription", "PortHandle", "Quality", "Unit", "ValueReading", "client_from_url",
]


class LuminaModbusClient(Client):
    """A client of a Lumina server, for one event loop.

    :param host: name or address of the server; a path that begins with ``/`` is its Unix socket.
    :param port: its TCP port.
    :param timeout: seconds that a command may take whose caller does not say.
    :param values_port: where it listens for values, for :meth:`device`: a TCP port of the same host, or the path of a
        Unix socket.
    """

    hint = "is Lumina running there?"

    def __init__(
        self, host: str = "127.0.0.1", port: int = 8888, *, timeout: float = DEFAULT_TIMEOUT,
        values_port: int | str = PORT,
    ) -> None:
        super().__init__(host, port, LineSession, timeout=timeout)
        self._values_place = values_place(host, values_port)
        self._values: LuminaValuesClient | None = None

    async def close(self) -> None:
        """Ends all commands that are open (:class:`~lumina_twisted.errors.Cancelled`, or
        :class:`~lumina_twisted.errors.OutcomeUnknown` for a write that may have been sent) and the connections."""
        if self._values is not None:
            await self._values.close()
        await super().close()

    def device(self, name: str) -> DeviceHandle:
        """One device, whose points have names; see :meth:`lumina_twisted.client.LuminaModbusClient.device`."""
        if self._values is None:
            self._values = LuminaValuesClient(*self._values_place, timeout=values_timeout(self.timeout))
        return self._values.device(name)

    async def send_command(
        self, name: str | dict[str, Any] = "", port: str = "", command: bytes | str = b"",
        baudrate: int | None = None, response_length: int = 0, timeout: float | None = None,
        **settings: Any,
    ) -> CommandReply:
        """Sends one request frame (M9); see :meth:`lumina_twisted.client.LuminaModbusClient.send_command`, whose
        failures are raised here."""
        if isinstance(name, Mapping):
            return await self.send_command(**name)
        how = CommandSettings(baudrate=baudrate, timeout=timeout, **settings)
        return await self.request(request_frame(command), port, how, name=name, response_length=response_length)

    def port(self, name: str = "", **settings: Any) -> PortHandle:
        """One port of the server's; see :meth:`lumina_twisted.client.LuminaModbusClient.port`."""
        return PortHandle(self, check_name(name, "the port"), CommandSettings(**settings))

    async def ask(self, word: str) -> tuple[str, ...]:
        """The lines that the server answers to a word: ``help``, ``ports`` or ``stats``.

        :raises NotConnected: if there is no connection, or it is lost, or no answer comes within the client's timeout.
        :raises RequestError: if it is no word.
        """
        check_word(word)
        try:
            async with asyncio.timeout(self.timeout):
                await self.connect()
                future: asyncio.Future[tuple[str, ...]] = asyncio.get_running_loop().create_future()
                self._session.ask(word, future)
                self._pump()
                return await future
        except TimeoutError:
            raise not_told(self._server, word, self.timeout) from None

    def unit(self, unit: int, **settings: Any) -> Unit:
        """A unit on the server's first port; see :meth:`port`."""
        return self.port("", **settings).unit(unit)


class ModbusTcpClient(Client):
    """A client of a device or a gateway that speaks Modbus TCP, for one event loop; see
    :class:`lumina_twisted.client.ModbusTcpClient`."""

    def __init__(
        self, host: str = "127.0.0.1", port: int = MODBUS_TCP_PORT, *, transactions: int = TRANSACTIONS,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        super().__init__(host, port, lambda server: ModbusTcpSession(server, transactions), timeout=timeout)

    @property
    def late_replies(self) -> int:
        """How many replies came when nobody waited for them: too late, twice, or never asked. None of them counted."""
        late: int = self._session.late
        return late

    def unit(self, unit: int, timeout: float | None = None) -> Unit:
        """The device with that unit identifier; see :meth:`lumina_twisted.client.ModbusTcpClient.unit`."""
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
