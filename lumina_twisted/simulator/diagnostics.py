"""A simulated device's identification and diagnostics, floor 2: functions 8, 11, 12, 17 and 43/14 (Modbus Application
Protocol V1.1b3, sections 6.8 to 6.10, 6.13 and 6.21).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from itertools import accumulate
from typing import Final

from lumina_twisted.errors import IllegalDataAddress, IllegalDataValue, IllegalFunction
from lumina_twisted.modbus.functions import DIAGNOSTICS_RETURN_QUERY_DATA, EXCEPTION_FLAG, MAX_EVENTS, MAX_PDU
from lumina_twisted.modbus.pdu import (
    DiagnosticsReply,
    DiagnosticsRequest,
    GetCommEventCounterReply,
    GetCommEventLogReply,
    ReadDeviceIdentificationReply,
    ReportServerIdReply,
)

_LAST_OBJECT: Final = {1: 0x02, 2: 0x7F, 3: 0xFF}
"""The last object id of each category, by read code: basic, regular, extended."""
_ONE_OBJECT: Final = 4
_SINGLE_ACCESS: Final = 0x80
"""The bit in the conformity level that says that objects can be read one by one."""
_HEAD: Final = 7
"""The number of bytes of a reply before its objects."""
LONGEST_OBJECT: Final = MAX_PDU - _HEAD - 2
"""The length of the longest text that fits in a reply, in bytes."""
_PRODUCT_CODE: Final = 1


class Identity:
    """The objects of Read Device Identification.

    :param objects: texts of up to :data:`LONGEST_OBJECT` bytes by object id: 0 vendor name, 1 product code,
        2 revision, 3 vendor URL, 4 product name, 5 model name, 6 user application name, 0x80 and above are free for
        the maker.
    """

    def __init__(self, objects: Mapping[int, str]) -> None:
        self._objects = {number: objects[number].encode() for number in sorted(objects)}

    def server_id(self) -> ReportServerIdReply:
        """Function 17: the product code, and the run indicator "on"."""
        return ReportServerIdReply(self._objects.get(_PRODUCT_CODE, b"") + b"\xff")

    def read(self, read_code: int, object_id: int) -> ReadDeviceIdentificationReply:
        """Function 43/14: as many of the requested objects as a reply holds.

        :raises IllegalDataAddress: if the single requested object does not exist.
        """
        if read_code == _ONE_OBJECT:
            if object_id not in self._objects:
                raise IllegalDataAddress
            wanted = [object_id]
        else:
            known = [number for number in self._objects if number <= _LAST_OBJECT[read_code]]
            first = object_id if object_id in known else 0  # an unknown id starts again at the first object
            wanted = [number for number in known if number >= first]
        sizes = accumulate(2 + len(self._objects[number]) for number in wanted)
        fitting = sum(size <= MAX_PDU - _HEAD for size in sizes)
        objects = [(number, self._objects[number]) for number in wanted[:fitting]]
        rest = wanted[fitting:]
        return ReadDeviceIdentificationReply(read_code, self._conformity, bool(rest), rest[0] if rest else 0, objects)

    @property
    def _conformity(self) -> int:
        last = max(self._objects, default=0)
        return _SINGLE_ACCESS | next(code for code, end in _LAST_OBJECT.items() if last <= end)


_CLEAR: Final = 10
_MESSAGES, _EXCEPTIONS, _SERVER_MESSAGES, _NO_RESPONSES = 11, 13, 14, 15
_OTHER_COUNTS: Final = frozenset({12, 16, 17, 18})
"""CRC errors, negative acknowledges, busy, overruns: these never happen here, because errors on the wire do not reach
the device."""

_RECEIVED, _SENT, _BROADCAST = 0x80, 0x40, 0x40
_EXCEPTION_BITS: Final = {1: 0x01, 2: 0x01, 3: 0x01, 4: 0x02, 5: 0x04, 6: 0x04, 7: 0x08}
_NOT_COUNTED: Final = frozenset({11, 12})
"""Functions that read the event counter; completing them does not increment it."""


class CommCounters:
    """The counters of function 8, and the event counter and the event log of functions 11 and 12."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys((_MESSAGES, _EXCEPTIONS, _SERVER_MESSAGES, _NO_RESPONSES, *_OTHER_COUNTS), 0)
        self._completed = 0
        self._events: deque[int] = deque(maxlen=MAX_EVENTS)  # the newest first

    def received(self, is_broadcast: bool) -> None:
        """Counts a received request."""
        self._counts[_MESSAGES] += 1
        self._counts[_SERVER_MESSAGES] += 1
        self._counts[_NO_RESPONSES] += is_broadcast
        self._events.appendleft(_RECEIVED | (_BROADCAST if is_broadcast else 0))

    def completed(self, reply: bytes, is_broadcast: bool) -> None:
        """Counts the completed request. ``reply`` is its reply PDU, which is not sent for a broadcast."""
        refused = bool(reply[0] & EXCEPTION_FLAG)
        if refused:
            self._counts[_EXCEPTIONS] += 1
        elif reply[0] not in _NOT_COUNTED:
            self._completed += 1
        if not is_broadcast:
            self._events.appendleft(_SENT | (_EXCEPTION_BITS.get(reply[1], 0) if refused else 0))

    def event_counter(self) -> GetCommEventCounterReply:
        """Function 11; the status always says that no program command is running."""
        return GetCommEventCounterReply(0, self._completed & 0xFFFF)

    def event_log(self) -> GetCommEventLogReply:
        """Function 12."""
        messages = self._counts[_MESSAGES]
        return GetCommEventLogReply(0, self._completed & 0xFFFF, messages & 0xFFFF, bytes(self._events))

    def diagnose(self, request: DiagnosticsRequest) -> DiagnosticsReply:
        """Function 8: the loop-back, the counters, and clearing the counters.

        :raises IllegalFunction: for any other sub-function.
        :raises IllegalDataValue: for data that the sub-function does not allow.
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
