"""Settings of a port, floor 2: one section of the configuration."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Final, Literal

import attrs
from attrs import frozen

from lumina_twisted.access.rules import rule_faults
from lumina_twisted.bus.settings import BusSettings, Seconds
from lumina_twisted.modbus.settings import Baudrate
from lumina_twisted.ports.address import SocketAddress, socket_address
from lumina_twisted.schema import Between, required, setting

LOWEST_BAUDRATE: Final = 1200
"""The lowest speed that a request may ask for unless a port says otherwise: at it the longest reply holds the bus for
3.6 s, at 75 baud for a minute."""

NO_WIRE: Final = 10_000_000
"""What counts as the speed of a bus whose bytes take no time."""

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
        """The speeds that a request may ask for, as a person reads them."""
        named = sorted(self._speeds)
        if self.baudrates:
            return ", ".join(map(str, named))
        below = [str(one) for one in named if one < self._lowest]
        return ", ".join([*below, f"{self._lowest} and above"])

    @cached_property
    def _speeds(self) -> frozenset[int]:
        """Those named: the port's own, its units', and what else is allowed."""
        of_units = (one.baudrate for one in self.units.values() if one.baudrate is not None)
        return frozenset((self.baudrate, *of_units, *self.baudrates))

    @property
    def _lowest(self) -> int:
        return min(LOWEST_BAUDRATE, self.baudrate)

    @property
    def socket(self) -> SocketAddress | None:
        """Where its socket is; None if it is a serial device."""
        return socket_address(self.path)

    def faults(self) -> Iterator[tuple[str, str]]:
        """What cannot be used, or not together: pairs of a key and a sentence."""
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
        """What the bus goes by: behind a socket nothing echoes and no silence is needed unless it is said, and behind
        one of Modbus TCP nothing takes wire time."""
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
    """What all ports together may hold."""

    open_ports: Annotated[int, Between(1, 10_000)] = setting(
        64, "ports that are open at a time, each with two descriptors; to open one more at a request, the one that has"
        ' been idle longest is closed if it has open = "request"',
    )
