"""What a simulated device tells of itself, floor 2: functions 17 and 43/14 (Modbus Application Protocol V1.1b3,
sections 6.13 and 6.21)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile
from typing import Final

from lumina_twisted.errors import IllegalDataAddress
from lumina_twisted.modbus.functions import MAX_PDU
from lumina_twisted.modbus.pdu import ReadDeviceIdentificationReply, ReportServerIdReply

_LAST_OBJECT: Final = {1: 0x02, 2: 0x7F, 3: 0xFF}
"""The last object id of each category, by read code: basic, regular, extended."""
_ONE_OBJECT: Final = 4
_SINGLE_ACCESS: Final = 0x80
"""Added to the conformity level by a device whose objects can be read one by one."""
_HEAD: Final = 7
"""Bytes of a reply before its objects."""
LONGEST_OBJECT: Final = MAX_PDU - _HEAD - 2
"""Bytes of the longest text that a reply holds."""
_PRODUCT_CODE: Final = 1


class Identity:
    """The objects of Read Device Identification.

    :param objects: texts of up to :data:`LONGEST_OBJECT` bytes by object id: 0 vendor name, 1 product code,
        2 revision, 3 vendor URL, 4 product name, 5 model name, 6 user application name, 0x80 and above whatever the
        maker likes.
    """

    def __init__(self, objects: Mapping[int, str]) -> None:
        self._objects = {number: objects[number].encode() for number in sorted(objects)}

    def server_id(self) -> ReportServerIdReply:
        """Function 17: the product code, and a run indicator that says on."""
        return ReportServerIdReply(self._objects.get(_PRODUCT_CODE, b"") + b"\xff")

    def read(self, read_code: int, object_id: int) -> ReadDeviceIdentificationReply:
        """Function 43/14: as many of the objects asked for as a reply holds.

        :raises IllegalDataAddress: if the one object asked for does not exist.
        """
        if read_code == _ONE_OBJECT:
            if object_id not in self._objects:
                raise IllegalDataAddress
            return self._reply(read_code, [object_id])
        known = [number for number in self._objects if number <= _LAST_OBJECT[read_code]]
        first = object_id if object_id in known else 0  # an unknown one begins anew
        return self._reply(read_code, [number for number in known if number >= first])

    def _reply(self, read_code: int, wanted: list[int]) -> ReadDeviceIdentificationReply:
        fitting = self._fitting(wanted)
        rest = wanted[len(fitting) :]
        objects = [(number, self._objects[number]) for number in fitting]
        return ReadDeviceIdentificationReply(read_code, self._conformity, bool(rest), rest[0] if rest else 0, objects)

    def _fitting(self, wanted: list[int]) -> list[int]:
        room = MAX_PDU - _HEAD

        def fits(number: int) -> bool:
            nonlocal room
            room -= 2 + len(self._objects[number])
            return room >= 0

        return list(takewhile(fits, wanted))

    @property
    def _conformity(self) -> int:
        last = max(self._objects, default=0)
        return _SINGLE_ACCESS | next(code for code, end in _LAST_OBJECT.items() if last <= end)
