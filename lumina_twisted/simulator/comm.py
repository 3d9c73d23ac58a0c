"""What a simulated device counts of its communication, floor 2: functions 8, 11 and 12 (Modbus Application Protocol
V1.1b3, sections 6.8 to 6.10). Errors of the wire never reach it, so those counters stay 0."""

from __future__ import annotations

from collections import deque
from typing import Final

from lumina_twisted.errors import IllegalDataValue, IllegalFunction
from lumina_twisted.modbus.functions import DIAGNOSTICS_RETURN_QUERY_DATA, EXCEPTION_FLAG, MAX_EVENTS
from lumina_twisted.modbus.pdu import (
    DiagnosticsReply,
    DiagnosticsRequest,
    GetCommEventCounterReply,
    GetCommEventLogReply,
)

_CLEAR: Final = 10
_MESSAGES, _EXCEPTIONS, _SERVER_MESSAGES, _NO_RESPONSES = 11, 13, 14, 15
_OTHER_COUNTS: Final = frozenset({12, 16, 17, 18})
"""CRC errors, negative acknowledges, busy, overruns: what never happens here."""

_RECEIVED, _SENT, _BROADCAST = 0x80, 0x40, 0x40
_EXCEPTION_BITS: Final = {1: 0x01, 2: 0x01, 3: 0x01, 4: 0x02, 5: 0x04, 6: 0x04, 7: 0x08}
_NOT_COUNTED: Final = frozenset({11, 12})
"""Asking for the count does not count."""


class CommCounters:
    """The counters of function 8, and the event counter and the event log of functions 11 and 12."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys((_MESSAGES, _EXCEPTIONS, _SERVER_MESSAGES, _NO_RESPONSES, *_OTHER_COUNTS), 0)
        self._completed = 0
        self._events: deque[int] = deque(maxlen=MAX_EVENTS)  # the newest first

    def received(self, is_broadcast: bool) -> None:
        """A request has come."""
        self._counts[_MESSAGES] += 1
        self._counts[_SERVER_MESSAGES] += 1
        self._counts[_NO_RESPONSES] += is_broadcast
        self._events.appendleft(_RECEIVED | (_BROADCAST if is_broadcast else 0))

    def completed(self, reply: bytes, is_broadcast: bool) -> None:
        """Its reply PDU is ready, and sent unless it was a broadcast."""
        refused = bool(reply[0] & EXCEPTION_FLAG)
        if refused:
            self._counts[_EXCEPTIONS] += 1
        elif reply[0] not in _NOT_COUNTED:
            self._completed += 1
        if not is_broadcast:
            self._events.appendleft(_SENT | (_EXCEPTION_BITS.get(reply[1], 0) if refused else 0))

    def event_counter(self) -> GetCommEventCounterReply:
        """Function 11; no program command is ever under way."""
        return GetCommEventCounterReply(0, self._completed & 0xFFFF)

    def event_log(self) -> GetCommEventLogReply:
        """Function 12."""
        messages = self._counts[_MESSAGES]
        return GetCommEventLogReply(0, self._completed & 0xFFFF, messages & 0xFFFF, bytes(self._events))

    def diagnose(self, request: DiagnosticsRequest) -> DiagnosticsReply:
        """Function 8: the loop-back, the counters, and to clear them.

        :raises IllegalFunction: for any other sub-function.
        :raises IllegalDataValue: for data that the sub-function does not have.
        """
        code, data = request.sub_function, request.data
        if code == DIAGNOSTICS_RETURN_QUERY_DATA:
            return DiagnosticsReply(code, data)
        if code != _CLEAR and code not in self._counts:
            raise IllegalFunction
        if data != b"\0\0":
            raise IllegalDataValue
        if code == _CLEAR:
            self._counts = dict.fromkeys(self._counts, 0)
            self._completed = 0
            return DiagnosticsReply(code, data)
        return DiagnosticsReply(code, (self._counts[code] & 0xFFFF).to_bytes(2, "big"))
