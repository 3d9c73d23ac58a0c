"""The canary: the bus's own request, which shows whether replies to earlier requests may still come. Floor 1.

The reply to a canary proves that the replies to earlier requests do not come any more; see
:mod:`lumina_twisted.bus.late_replies`. So the reply must differ from every reply that may still come. There are three
modes:

* ``diagnostics``, the default: function 8, sub-function 0 (APP section 6.8), which returns a number of the canary's
  own. It touches no register. If the device does not know the function, its exception is as good a proof.
* ``read``: a read whose reply has another function code or length than the replies in doubt, and a different read each
  time. Even in the mode ``diagnostics`` the bus sends a read in these cases:

  * The unit may not answer function 8, or only with exceptions, which all look alike. While that is unknown, every
    third canary is a read, and so is every canary that is sent while a canary by function 8 is unanswered. If the unit
    meanwhile leaves several canaries by function 8 unanswered but answers other requests, all its canaries are reads.
    Once the unit has returned the data of function 8, a read is sent only while several such canaries are unanswered.
  * The port echoes, or may echo. An echo of function 8 looks like its reply.
* ``off``: the bus sends no canary.
"""

from __future__ import annotations

from typing import Final

from lumina_twisted.bus.events import Request
from lumina_twisted.bus.pending import Kind, Pending
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.bus.transaction import LateReply
from lumina_twisted.modbus.functions import FunctionCode
from lumina_twisted.modbus.reply import Shape

LENGTH: Final = 16
"""Bytes of a canary and of its reply together, for estimates."""
_Reads = tuple[tuple[int, int], ...]
_READS: Final[_Reads] = tuple((code, quantity) for quantity in range(1, 9) for code in (3, 4))
"""Function and quantity of the reads that may be canaries."""
_LONGER_READS: Final[_Reads] = tuple((code, quantity) for quantity in range(9, 126) for code in (3, 4))
"""The same, for when replies of all lengths in :data:`_READS` may still come."""
_REGISTERS: Final = frozenset({3, 4})
_BITS: Final = (2, 1)
"""Functions whose reply, or exception, is a proof when both register reads are in doubt."""
_MARK: Final = 0x4C
"""First data byte of a canary by function 8; the second is a number."""
_THIRD: Final = 3
_MOST_UNANSWERED: Final = 4
"""Canaries by function 8 that may be unanswered at the same time."""
_SILENT: Final = 3
"""Canaries by function 8 that a unit may leave unanswered before all its canaries are reads."""


class _Unit:
    """The state of one unit's canaries."""

    __slots__ = ("number", "returns", "sent", "silent")

    def __init__(self) -> None:
        self.sent = 0
        self.number = 0
        self.returns = False  # whether the unit returned the data of function 8
        self.silent = 0  # canaries by function 8 without an answer, although the unit answered a later request


class Canaries:
    """Makes the canaries of one bus.

    :param settings: tell the mode for each unit.
    """

    def __init__(self, settings: BusSettings) -> None:
        self._settings = settings
        self._units: dict[int, _Unit] = {}

    def make(self, request: Pending, in_doubt: dict[Shape, LateReply], echoes: bool | None) -> Pending:
        """Makes the canary that goes ahead of ``request``, with the caller and the serial settings of that request.

        :param in_doubt: the late replies of the unit that are in doubt.
        :param echoes: whether the port echoes; None while that is unknown.
        """
        unit = self._units.setdefault(request.unit, _Unit())
        unit.sent += 1
        unanswered = sum(shape.function_code == FunctionCode.DIAGNOSTICS for shape in in_doubt)
        asks_diagnostics = self._settings.for_unit(request.unit).canary == "diagnostics" and echoes is False and (
            unanswered < _MOST_UNANSWERED if unit.returns
            else not unanswered and unit.silent < _SILENT and unit.sent % _THIRD != 0
        )
        pdu = self._diagnostics(unit) if asks_diagnostics else _read(unit, in_doubt)
        canary = Pending(
            Request(request.caller, request.unit, pdu, request.serial, request.deadline, retries=0, lane=request.lane),
            Kind.CANARY, ahead_of=request,
        )
        canary.is_read = True  # it changes nothing
        return canary

    def answered(self, canary: Pending, pdu: bytes) -> None:
        """The unit answered a canary, in time or late."""
        if canary.pdu[0] == FunctionCode.DIAGNOSTICS and pdu == canary.pdu:
            self._units[canary.unit].returns = True

    def lost(self, canary: Pending) -> None:
        """The unit did not answer a canary, although it answered a later request."""
        if canary.pdu[0] == FunctionCode.DIAGNOSTICS:
            self._units[canary.unit].silent += 1

    @staticmethod
    def _diagnostics(unit: _Unit) -> bytes:
        unit.number = (unit.number + 1) % 256
        return bytes((FunctionCode.DIAGNOSTICS, 0, 0, _MARK, unit.number))


def _read(unit: _Unit, in_doubt: dict[Shape, LateReply]) -> bytes:
    """The PDU of a canary that reads. Functions that are not in doubt come first, because an exception to a function in
    doubt proves nothing."""
    codes = {shape.function_code for shape in in_doubt}
    bits = [code for code in _BITS if code not in codes]
    if bits and codes.issuperset(_REGISTERS):
        return _asked(bits[0], 1, unit, in_doubt)
    turned = _READS[unit.sent % 4 :] + _READS[: unit.sent % 4]
    held = {(shape.function_code, shape.length): late for shape, late in in_doubt.items()}
    free = _free(turned, held) or _youngest(held) or _free(_LONGER_READS, held) or turned
    code, quantity = min(free, key=lambda one: one[0] in codes)
    return _asked(code, quantity, unit, in_doubt)


def _asked(code: int, quantity: int, unit: _Unit, in_doubt: dict[Shape, LateReply]) -> bytes:
    """A read at the address of a request in doubt, so that it touches no other register. The address changes each time,
    because the device refuses a read that goes beyond the end of a table."""
    asked = list({late.request.pdu[1:3]: None for shape, late in in_doubt.items() if shape.function_code == code})
    return bytes((code, *(asked[unit.sent % len(asked)] if asked else b"\0\0"), 0, quantity))


def _free(reads: _Reads, held: dict[tuple[int, int], LateReply]) -> _Reads:
    """The reads whose reply differs in length from every reply of that function that may still come."""
    return tuple((code, quantity) for code, quantity in reads if (code, 2 + 2 * quantity) not in held)


def _youngest(held: dict[tuple[int, int], LateReply]) -> _Reads:
    """The read canary that was sent last, to be sent again. Its reply counts as the reply to the earlier one. That is
    enough to prove that nothing older comes, which makes other lengths free again. A client's read is never used here,
    because its reply could be taken for the canary's."""
    canaries = [(late.numbers[0], code, (length - 2) // 2) for (code, length), late in held.items()
                if late.request.kind is Kind.CANARY and (code, (length - 2) // 2) in _READS]
    return tuple((code, quantity) for _, code, quantity in sorted(canaries)[-1:])
