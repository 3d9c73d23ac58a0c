"""Whether a command may be sent, floor 2: the mission's ``CommandValidator`` (M14) over the rules that each port asks.

It is awaitable in both worlds, as :mod:`lumina_twisted.helpers.retrying` is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, Final

from attrs import frozen
from twisted.internet.defer import succeed

from lumina_twisted.access.rules import Rules, parse_rule
from lumina_twisted.awaiting import in_asyncio_task
from lumina_twisted.errors import FrameError, LuminaError, RequestError
from lumina_twisted.framing.crc import append_crc, crc16
from lumina_twisted.framing.rtu import OVERHEAD, check_request_frame
from lumina_twisted.modbus.lengths import request_length
from lumina_twisted.modbus.pdu import decode_request

_PORTS: Final = 256
"""Ports whose rules are kept ready."""


@frozen
class _Pattern:
    text: str
    port: str
    deny: bool


class CommandValidator:
    """Says of commands whether they are well formed and whether its patterns let them pass. Without a pattern all that
    is well formed passes; a port of the daemon's has those that its ``allow`` and ``deny`` are."""

    def __init__(self) -> None:
        self._patterns: list[_Pattern] = []
        self._rules_for = lru_cache(_PORTS)(self._make_rules)

    def register_pattern(self, pattern: str, port: str = "*", deny: bool = False) -> None:
        """One more rule.

        :param pattern: as ``read * holding 0-99``, ``write 2 coil 0-7,16``, ``write * holding 100-199 0-500``,
            ``any 1-20`` or ``function 43 *``; see :mod:`lumina_twisted.access.rules`.
        :param port: for which ports: a name or path in which ``*`` and ``?`` stand for others.
        :param deny: whether it forbids. As soon as a port has patterns that allow, it takes nothing else.
        :raises RequestError: if it is no rule, with a sentence that says what to write.
        """
        parse_rule(pattern)
        self._patterns.append(_Pattern(pattern, port, deny))
        self._rules_for.cache_clear()

    def validate_command(self, command_data: Any, port: str = "") -> Any:
        """Whether a command may be sent; :meth:`fault` says why not, and what its parameters are.

        :return: something to await: it gives True or False, and does not fail.
        """
        is_valid = self.fault(command_data, port) is None
        if not in_asyncio_task():
            return succeed(is_valid)
        future = asyncio.get_running_loop().create_future()
        future.set_result(is_valid)
        return future

    def fault(self, command_data: Any, port: str = "") -> str | None:
        """Why a command may not be sent, as a sentence; None if it may.

        :param command_data: unit and PDU as bytes or as hexadecimal digits, with the CRC or without it; or the mapping
            that a client's ``send_command`` takes, whose ``command`` that is.
        :param port: name or path of the port that it is for, if it is no mapping with a ``port``. Patterns for certain
            ports do not hold for a command without one.
        """
        try:
            if isinstance(command_data, Mapping):
                port = command_data.get("port", port)
                command_data = command_data.get("command")
            frame = _frame_of(command_data)
            decode_request(frame[1:-2])
        except LuminaError as error:
            return str(error)
        fault = self._rules_for(str(port)).fault(frame[0], frame[1:-2])
        return (f"not on {port}, {fault}" if port else fault) if fault else None

    def _make_rules(self, port: str) -> Rules:
        held = [one for one in self._patterns if fnmatchcase(port, one.port)]
        return Rules((one.text for one in held if not one.deny), (one.text for one in held if one.deny))


def _frame_of(command: Any) -> bytes:
    """The RTU frame of a request.

    :raises LuminaError: if it is none.
    """
    body = _octets(command)
    if len(body) < 2:
        raise RequestError(f"a command has a unit and a function code at least, not {len(body)} bytes")
    try:
        check_request_frame(body)
    except FrameError:
        if len(body) > OVERHEAD and request_length(body, 1) == len(body) - OVERHEAD and crc16(body):
            wrong, right = (one[-2:].hex().upper() for one in (body, append_crc(body[:-2])))
            raise FrameError(
                f"wrong CRC {wrong}, the right one of the bytes before it is {right}; it may be left out",
                unit=body[0], function_code=body[1], frame=body,
            ) from None
        check_request_frame(append_crc(body))
        return append_crc(body)
    return body


def _octets(command: Any) -> bytes:
    try:
        if isinstance(command, str):
            return bytes.fromhex(command)
        if isinstance(command, bytes | bytearray | memoryview):
            return bytes(command)
    except ValueError:
        pass
    raise RequestError(f"a command is bytes or hexadecimal digits, two a byte, not {str(command)[:40]!r}")
