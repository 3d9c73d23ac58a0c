"""The settings of a serial line, on which both ends must agree. Floor 0."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

from attrs import frozen

from lumina_twisted.schema import Between, setting

Baudrate = Annotated[int, Between(1, 10_000_000)]
Parity = Literal["N", "E", "O", "M", "S"]


@frozen(kw_only=True, slots=False)
class SerialSettings:
    """Speed and frame of the characters on the wire (Modbus over Serial Line V1.02, sections 2.5.1 and 3.2)."""

    baudrate: Baudrate = setting(9600, "speed of the wire", unit="baud")
    bytesize: Literal[7, 8] = setting(8, "data bits of a character; RTU needs 8", unit="bits")
    parity: Parity = setting("N", "parity: N none, E even, O odd, M mark, S space")
    stopbits: Literal[1, 2] = setting(1, "stop bits of a character", unit="bits")

    @cached_property
    def bits(self) -> int:
        """Bits of one character on the wire, its start bit included."""
        return 1 + self.bytesize + (self.parity != "N") + self.stopbits

    def __str__(self) -> str:
        return f"{self.baudrate} {self.bytesize}{self.parity}{self.stopbits}"
