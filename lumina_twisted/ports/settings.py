"""The settings of a port, floor 2: one section of the configuration; and the text that says where its bus is.

``/dev/ttyUSB0``, ``serial:/dev/ttyUSB0:baudrate=19200``, ``rtu+tcp:HOST:PORT``, ``modbus+tcp:HOST[:PORT]``, and for
converters that dial in, ``rtu+tcp-listen:PORT[:interface=ADDRESS]`` and ``modbus+tcp-listen:PORT[:interface=…]``.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Final, Literal

import attrs
from attrs import frozen
from twisted.internet.address import IPv4Address, IPv6Address

from lumina_twisted.access.rules import rule_faults
from lumina_twisted.bus.settings import BusSettings, Seconds
from lumina_twisted.framing.mbap import MODBUS_TCP_PORT
from lumina_twisted.modbus.settings import Baudrate
from lumina_twisted.schema import Between, required, setting
from lumina_twisted.text import close_to

LOWEST_BAUDRATE: Final = 1200
"""The lowest speed that a request may ask for unless the port allows others. At 1200 baud the longest reply holds the
bus for 3.6 s, at 75 baud for a minute."""

NO_WIRE: Final = 10_000_000
"""The speed, in baud, that stands for a bus whose bytes take no time."""

Milliseconds = Annotated[float, Between(0, 1000)]


@frozen(kw_only=True, slots=False)
class PortSettings(BusSettings):
    """Where the bus of a port is, how it is opened, and how it is used."""

    path: str = required(
        "the serial device, best by its stable name in /dev/serial/by-id or /dev/serial/by-path; or where a converter"
        " or a gateway is, as rtu+tcp:192.168.1.5:4001 or modbus+tcp:192.168.1.6:502; or where one dials in, as"
        " rtu+tcp-listen:4001"
    )
    open: Literal["start", "request"] = setting("start", "open it when the service starts, or at the first request")
    baudrates: tuple[Baudrate, ...] = setting(
        (), f"speeds that a request may ask for beside the port's own and its units'; none given: every one from"
        f" {LOWEST_BAUDRATE} up",
        unit="baud",
    )
    stop_timeout: Seconds = setting(
        5.0, "when the service stops, how long it waits for what is on the wire; a write still there then ends with an"
        " unknown outcome", unit="s",
    )
    idle_close: Seconds = setting(0.0, "close it after so long without a request; 0: keep it open", unit="s")
    zero_ids: bool = setting(
        False, "whether a reply with transaction identifier 0 answers the only request under way, for devices of Modbus"
        " TCP that do not repeat it; after a request without a reply the connection is then made anew",
    )
    exclusive: bool = setting(True, "keep other programs off the device while it is open")
    low_latency: bool = setting(True, "ask the driver to hand bytes over at once, where it can")
    rtscts: bool = setting(False, "hardware flow control")
    xonxoff: bool = setting(False, "software flow control; it takes two byte values away from RTU")
    rs485: bool = setting(False, "let the kernel switch the transceiver's direction by RTS (TIOCSRS485)")
    rs485_rts_on_send: bool = setting(True, "level of RTS while sending")
    rs485_rts_after_send: bool = setting(False, "level of RTS while receiving")
    rs485_delay_before_send: Milliseconds = setting(0.0, "pause between RTS and the first byte", unit="ms")
    rs485_delay_after_send: Milliseconds = setting(0.0, "pause between the last byte and RTS", unit="ms")

    def takes_baudrate(self, baudrate: int) -> bool:
        """Whether a request may ask for this speed."""
        return baudrate in self._speeds or (not self.baudrates and baudrate >= self._lowest)

    @property
    def speeds_told(self) -> str:
        """The speeds that a request may ask for, as text."""
        named = sorted(self._speeds)
        if self.baudrates:
            return ", ".join(map(str, named))
        below = [str(one) for one in named if one < self._lowest]
        return ", ".join([*below, f"{self._lowest} and above"])

    @cached_property
    def _speeds(self) -> frozenset[int]:
        """The speeds that the configuration names: the port's own, its units', and the others that are allowed."""
        of_units = (one.baudrate for one in self.units.values() if one.baudrate is not None)
        return frozenset((self.baudrate, *of_units, *self.baudrates))

    @property
    def _lowest(self) -> int:
        return min(LOWEST_BAUDRATE, self.baudrate)

    @property
    def socket(self) -> SocketAddress | None:
        """The socket of the bus; None for a serial device."""
        return socket_address(self.path)

    def faults(self) -> Iterator[tuple[str, str]]:
        """The settings that are invalid, alone or together: pairs of a key and a sentence."""
        for key in ("allow", "deny"):
            for number, sentence in rule_faults(getattr(self, key)):
                yield f"{key}[{number}]", sentence
        try:
            address = self.socket
        except ValueError as error:
            yield "path", str(error)
            return
        if address is None or address.framing != "modbus":
            yield from self._modbus_tcp_only()
        if address is None:
            return
        for key in _SERIAL_ONLY:
            if getattr(self, key) != getattr(attrs.fields(PortSettings), key).default:
                yield key, f"only a serial device has this, and {self.path} is none"
        for unit, own in self.units.items():
            for key in _CHARACTER:
                if getattr(own, key) is not None:
                    yield f"units.{unit}.{key}", f"only a serial device has this, and {self.path} is none"

    def _modbus_tcp_only(self) -> Iterator[tuple[str, str]]:
        if self.unit_0 != "broadcast":
            yield "unit_0", f"only behind Modbus TCP is unit 0 a device, and {self.path} is RTU, where it is every one"
        if self.zero_ids:
            yield "zero_ids", f"only Modbus TCP numbers its requests, and {self.path} is RTU"

    def of_the_bus(self) -> PortSettings:
        """The settings that the bus uses. Behind a socket there is no echo and no silence between frames, unless the
        configuration sets them. Behind a Modbus TCP socket, bytes take no wire time."""
        address = self.socket
        if address is None:
            return self
        echo = "off" if self.echo == "auto" else self.echo
        made = attrs.evolve(self, echo=echo, frame_gap=0.0 if self.frame_gap is None else self.frame_gap)
        if address.framing == "rtu":
            return made
        units = {unit: attrs.evolve(one, baudrate=None) for unit, one in self.units.items()}
        return attrs.evolve(made, baudrate=NO_WIRE, units=units)


_CHARACTER: Final = ("bytesize", "parity", "stopbits")
_SERIAL_ONLY: Final = (
    "exclusive", "low_latency", "rtscts", "xonxoff", "rs485", "rs485_rts_on_send", "rs485_rts_after_send",
    "rs485_delay_before_send", "rs485_delay_after_send", *_CHARACTER, "baudrates",
)


@frozen(kw_only=True, slots=False)
class Limits:
    """The limits of all ports together."""

    open_ports: Annotated[int, Between(1, 10_000)] = setting(
        64, "ports that are open at a time, each with two descriptors; to open one more at a request, the one that has"
        ' been idle longest is closed if it has open = "request"',
    )


Framing = Literal["rtu", "modbus"]

COLON: Final = re.compile(r"(?<!\\):(?![^\[\]]*\])")
"""The colon between two fields; not one after a backslash, and not one of an IPv6 address in brackets."""
_SCHEMES: Final[dict[str, tuple[Framing, bool]]] = {
    "rtu+tcp": ("rtu", False), "modbus+tcp": ("modbus", False),
    "rtu+tcp-listen": ("rtu", True), "modbus+tcp-listen": ("modbus", True),
}
_SERIAL: Final = "serial"
_INTERFACE: Final = "interface="
_SHORT: Final = {"tcp": "rtu+tcp", "rtu": "rtu+tcp", "modbus": "modbus+tcp"}
_NO_HOST: Final = re.compile(r"[\s/\\@=\0]")
_EXAMPLES: Final = {
    "rtu+tcp": "rtu+tcp:192.168.1.5:4001", "modbus+tcp": "modbus+tcp:192.168.1.5:502",
    "rtu+tcp-listen": "rtu+tcp-listen:4001", "modbus+tcp-listen": "modbus+tcp-listen:1502",
    _SERIAL: "serial:/dev/ttyUSB0",
}


@frozen
class SocketAddress:
    """A bus behind a socket.

    :param framing: the frames that the socket carries.
    :param listens: whether Lumina listens and the converter dials in.
    :param host: the peer's name or address; if Lumina listens, the address of the interface, or empty for all.
    :param tcp_port: 1 to 65535.
    """

    framing: Framing
    listens: bool
    host: str
    tcp_port: int

    @property
    def place(self) -> str:
        """The key that no two ports may share; empty for a Modbus TCP server, which accepts many clients."""
        if self.listens:
            return f"listen {self.tcp_port}"
        return str(self) if self.framing == "rtu" else ""

    def __str__(self) -> str:
        host = self.host or "*"
        return f"[{host}]:{self.tcp_port}" if ":" in host else f"{host}:{self.tcp_port}"


def is_place(word: str) -> bool:
    """Whether a text that begins with ``word:`` is more than a device's path, or was meant to be."""
    return _is_scheme(word) or bool(_scheme_meant(word))


def is_unknown_place(text: str) -> bool:
    """Whether a text is like ``ascii+tcp:HOST:PORT`` or ``HOST:PORT``: neither a device's path with settings nor of a
    known kind."""
    scheme, *fields = COLON.split(text)
    path = text.replace("\\:", ":")
    return bool(fields) and not is_place(scheme) and "=" not in fields[0] and not _may_be_device(path, scheme)


def _is_scheme(word: str) -> bool:
    return word == _SERIAL or word in _SCHEMES


def _scheme_meant(word: str) -> str:
    """The scheme that ``word`` misspells; empty if ``word`` is a scheme, or is close to none."""
    if _is_scheme(word) or "/" in word:
        return ""
    return close_to(word, [*_SCHEMES, _SERIAL], 0.8) or _SHORT.get(word.lower(), "")


def unknown_kind(scheme: str) -> str:
    """The error text for a bus address whose first word is no scheme."""
    known = ", ".join((_SERIAL, *_SCHEMES))
    return (
        f"there is no kind of bus {scheme!r}; known are {known}, as {_EXAMPLES['modbus+tcp']}; a device whose own path"
        f" has a colon is written with its folder, as ./{scheme}:1"
    )


def _may_be_device(path: str, scheme: str) -> bool:
    """Whether a text with a colon may be a device's path: it has a folder before the colon, or the path exists."""
    return "/" in scheme or scheme == _SERIAL or os.path.lexists(path)


def parted(text: str) -> tuple[str, list[str]]:
    """Splits a text into the address of the bus and the settings after it: ``rtu+tcp:host:4001:timeout=1`` gives
    ``rtu+tcp:host:4001`` and ``timeout=1``. The prefix ``serial:`` is removed.
    """
    scheme, *fields = COLON.split(text)
    if not fields or not (is_place(scheme) or is_unknown_place(text)):
        return text, []
    settings = next((at for at, one in enumerate(fields) if "=" in one and not one.startswith(_INTERFACE)), len(fields))
    where, words = fields[:settings], fields[settings:]
    if scheme == _SERIAL:
        return ":".join(where).replace("\\:", ":"), words
    return ":".join([scheme, *where]), words


def socket_address(path: str) -> SocketAddress | None:
    """The socket address in ``path``; None if it is the path of a device.

    :raises ValueError: with a sentence, if it is neither.
    """
    scheme, found, rest = path.partition(":")
    if found and (meant := _scheme_meant(scheme)):
        raise ValueError(f"{path!r} is no place of a bus; one looks like {_EXAMPLES[meant]}")
    if found and scheme not in _SCHEMES and not _may_be_device(path, scheme):
        raise ValueError(unknown_kind(scheme))
    if not found or scheme not in _SCHEMES:
        return None
    framing, listens = _SCHEMES[scheme]
    fields = COLON.split(rest)
    interface = fields.pop().removeprefix(_INTERFACE) if fields[-1].startswith(_INTERFACE) else ""
    if listens and len(fields) == 1:
        host, tcp_port = interface, fields[0]
    elif not listens and not interface and len(fields) == 2:
        host, tcp_port = fields
    elif scheme == "modbus+tcp" and not interface and len(fields) == 1:
        host, tcp_port = fields[0], str(MODBUS_TCP_PORT)
    else:
        hint = ", an IPv6 address stands in brackets" if len(fields) > 3 else ""
        raise ValueError(f"{path!r} is no place of a bus; one looks like {_EXAMPLES[scheme]}{hint}")
    if listens and host and not _is_address(host):
        raise ValueError(f"{host!r} is no address of this machine; say {_INTERFACE}192.168.1.1, or leave it out")
    if not listens and not host:
        raise ValueError(f"{path!r} names no host; a place looks like {_EXAMPLES[scheme]}")
    if not (tcp_port.isascii() and tcp_port.isdigit() and len(tcp_port) < 6 and 0 < int(tcp_port) < 65536):
        raise ValueError(f"{tcp_port[:20]!r} is no TCP port from 1 to 65535; a place looks like {_EXAMPLES[scheme]}")
    if not _is_host(host):
        raise ValueError(f"{host!r} is no name or address of a host; a place looks like {_EXAMPLES[scheme]}")
    return SocketAddress(framing, listens, host.strip("[]"), int(tcp_port))


def _is_host(text: str) -> bool:
    return not _NO_HOST.search(text) and ("[" not in text or _is_address(text))


def _is_address(text: str) -> bool:
    """Whether a text is an IP address; an IPv6 address must be in brackets."""
    try:
        version = ipaddress.ip_address(text.removeprefix("[").removesuffix("]")).version
    except ValueError:
        return False
    return version == (6 if text.startswith("[") and text.endswith("]") else 4)


def same_place(path: str) -> str:
    """A key that is equal for all paths to the same bus; empty if several ports may share the bus.

    :raises ValueError: if the path is neither a device's nor a socket's.
    """
    address = socket_address(path)
    return os.path.realpath(path) if address is None else address.place


def host_of(transport: Any) -> str:
    """The address of a transport's peer, without the port number."""
    address = transport.getPeer()
    return str(address.host) if isinstance(address, IPv4Address | IPv6Address) else str(address)


def peer_of(transport: Any) -> str:
    """A transport's peer as ``192.168.1.5:4001``, or as its address prints."""
    address = transport.getPeer()
    if isinstance(address, IPv6Address):
        return f"[{address.host}]:{address.port}"
    return f"{address.host}:{address.port}" if isinstance(address, IPv4Address) else str(address)
