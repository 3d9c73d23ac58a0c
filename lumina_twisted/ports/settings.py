"""Settings of a port, floor 2: one section of the configuration."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from attrs import frozen

from lumina_twisted.bus.settings import BusSettings, Seconds
from lumina_twisted.modbus.settings import Baudrate
from lumina_twisted.schema import Between, required, setting

LOWEST_BAUDRATE: Final = 1200
"""The lowest speed that a request may ask for unless a port says otherwise: at it the longest reply holds the bus for
3.6 s, at 75 baud for a minute."""

Milliseconds = Annotated[float, Between(0, 1000)]


@frozen(kw_only=True, slots=False)
class PortSettings(BusSettings):
    """A serial device, how it is opened, and the bus behind it."""

    path: str = required("the serial device, best by its stable name in /dev/serial/by-id or /dev/serial/by-path")
    open: Literal["start", "request"] = setting("start", "open it when the service starts, or at the first request")
    baudrates: tuple[Baudrate, ...] = setting(
        (), f"speeds that a request may ask for beside the port's own; none given: every one from {LOWEST_BAUDRATE} up",
        unit="baud",
    )
    stop_timeout: Seconds = setting(
        5.0, "when the service stops, how long it waits for what is on the wire; a write still there then ends with an"
        " unknown outcome", unit="s",
    )
    idle_close: Seconds = setting(0.0, "close it after so long without a request; 0: keep it open", unit="s")
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
        if self.baudrates:
            return baudrate == self.baudrate or baudrate in self.baudrates
        return baudrate >= min(LOWEST_BAUDRATE, self.baudrate)


@frozen(kw_only=True, slots=False)
class Limits:
    """What all ports together may hold."""

    open_ports: Annotated[int, Between(1, 10_000)] = setting(
        64, "ports that are open at a time, each with two descriptors; to open one more at a request, the one that has"
        ' been idle longest is closed if it has open = "request"',
    )
