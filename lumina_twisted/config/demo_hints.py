"""What to type when the demo runs, floor 5."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lumina_twisted.config.demo import BAUDRATES
from lumina_twisted.framing.rtu import encode_adu

_WORDS: Final = ("list", "read greenhouse.*", "write relays.relay_3 on")
_COMMANDS: Final = ("lumina values watch 'greenhouse.*' 'pump.*'",)
_OF_REGISTERS: Final = (
    "lumina read demo1 1 input 0", "lumina write demo1 2 coil 3 on", "lumina scan demo1 --units 1-5",
)
_FRAMES: Final = (
    ("the temperature of a thermometer, in tenths of a degree", "demo1", 1, "0400000001", 7, ""),
    ("how many relays the board has: 0008", "demo1", 2, "0300000001", 7, "03020008"),
    ("relay 4 on: the reply repeats the request", "demo1", 2, "050003ff00", 8, "050003ff00"),
    ("the energy counter, in Wh", "demo2", 1, "0400000002", 9, ""),
)
"""What each asks, its port, unit, request PDU, the length of the reply's frame, and the reply's PDU if it is fixed."""

Address = tuple[str, int]


def hints(lines: Address = ("127.0.0.1", 8888), values: Address | None = None, modbus: bool = False) -> str:
    """What to type in another terminal.

    :param lines: where the line listener is, and ``values`` that of values, if there is one.
    :param modbus: whether the demo's own listener of Modbus TCP is there.
    """
    told = ["a small plant is simulated. In another terminal, type (lumina is in .venv/bin after `make run`)"]
    if values is not None:
        told += _by_name(values)
        told.append("or by registers, which need no description:")
    told += _by_registers(lines)
    if modbus:
        told.append("or Modbus TCP at 127.0.0.1:1502: units 1 to 3 are demo1's, 101 to 103 are demo2's")
    return "\n".join([*told, "  # words for people", f"  {_typed('help', lines, 'ports', 'stats')}"])


def command(port: str, unit: int, pdu: str, length: int) -> str:
    """A line of the text protocol that asks a demo device something."""
    return f"1:demo:{port}:{BAUDRATES[port]}:{_frame(unit, pdu)}:{length}"


def _by_name(values: Address) -> Iterator[str]:
    yield from (f"  {_typed(one, values)}" for one in _WORDS)
    where = _server(values, 5000)
    yield from (f"  {one}{where}" for one in _COMMANDS)


def _by_registers(lines: Address) -> Iterator[str]:
    where = _server(lines, 8888)
    yield from (f"  {one}{where}" for one in _OF_REGISTERS)
    yield "or text lines, which anything can send; what comes back is 1:REPLY:TIME, the reply's frame in"
    yield "hexadecimal digits (of a read: unit, function, number of bytes, the values, CRC)"
    for meaning, port, unit, pdu, length, reply in _FRAMES:
        yield f"  # {meaning}"
        yield f"  {_typed(command(port, unit, pdu, length), lines)}"
        if reply:
            yield f"  # 1:{_frame(unit, reply)}:TIME"


def _typed(first: str, where: Address, *more: str) -> str:
    text = "\\n".join((first, *more, ""))
    return f"printf '{text}' | nc -q1 {where[0]} {where[1]}"


def _server(where: Address, usual: int) -> str:
    host, tcp_port = where
    if where == ("127.0.0.1", usual):
        return ""
    return f" --server [{host}]:{tcp_port}" if ":" in host else f" --server {host}:{tcp_port}"


def _frame(unit: int, pdu: str) -> str:
    return encode_adu(unit, bytes.fromhex(pdu)).hex().upper()
