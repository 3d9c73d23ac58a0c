"""What a bus asks for itself, to learn whether a device has nothing more to say: the canary. Floor 1.

The reply to a canary proves that nothing comes any more of what was asked before it, see
:mod:`lumina_twisted.bus.late_replies`. So its reply must be unlike any that may still come:

* ``diagnostics``, the default: function 8, sub-function 0 (APP section 6.8), which returns a number of the canary's
  own. It touches no register, and the exception of a device that does not know it is as good a proof.
* ``read``: a read whose reply has another function or length than what is in doubt, another one each time. It is also
  used where the first may be silent, or answered by exceptions, which all look alike: every third time while nobody
  knows, whenever one of them is still unanswered, and always once a unit has left several unanswered that answered
  other requests; and on a port that echoes, or may, for an echo of the first looks like its reply.
* ``off``: nothing is asked.
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
"""Bytes of a canary and of its reply, with which it is reckoned."""
_Reads = tuple[tuple[int, int], ...]
_READS: Final[_Reads] = tuple((code, quantity) for quantity in range(1, 9) for code in (3, 4))
"""Function and quantity of the reads that may be canaries."""
_LONGER_READS: Final[_Reads] = tuple((code, quantity) for quantity in range(9, 126) for code in (3, 4))
"""The same, when replies of all those lengths may still come."""
_REGISTERS: Final = frozenset({3, 4})
_BITS: Final = (2, 1)
"""Functions whose reply, or exception, is a proof where both others are in doubt."""
_MARK: Final = 0x4C
"""First byte of what function 8 shall return; a number is the second."""
_THIRD: Final = 3
_MOST_UNANSWERED: Final = 4
"""Canaries by function 8 that may be unanswered at a time."""
_SILENT: Final = 3
"""Canaries by function 8 that a unit may leave unanswered before it is asked by reads alone."""


class _Unit:
    """What is known of one unit's canaries."""

    __slots__ = ("number", "returns", "sent", "silent")

    def __init__(self) -> None:
        self.sent = 0
        self.number = 0
        self.returns = False  # what function 8 is to return
        self.silent = 0  # how often it did not answer, and was there


class Canaries:
    """Makes the canaries of one bus.

    :param settings: which kind each unit is asked by.
    """

    def __init__(self, settings: BusSettings) -> None:
        self._settings = settings
        self._units: dict[int, _Unit] = {}

    def make(self, request: Pending, in_doubt: dict[Shape, LateReply], echoes: bool | None) -> Pending:
        """The canary that goes ahead of ``request``, for that one's caller and at its settings.

        :param in_doubt: what is in doubt of the unit.
        :param echoes: whether the port echoes, None if nobody knows.
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
        """A canary was answered, in time or late."""
        if canary.pdu[0] == FunctionCode.DIAGNOSTICS and pdu == canary.pdu:
            self._units[canary.unit].returns = True

    def lost(self, canary: Pending) -> None:
        """A canary was not answered, although what was asked after it was."""
        if canary.pdu[0] == FunctionCode.DIAGNOSTICS:
            self._units[canary.unit].silent += 1

    @staticmethod
    def _diagnostics(unit: _Unit) -> bytes:
        unit.number = (unit.number + 1) % 256
        return bytes((FunctionCode.DIAGNOSTICS, 0, 0, _MARK, unit.number))


def _read(unit: _Unit, in_doubt: dict[Shape, LateReply]) -> bytes:
    """Where a client read, so that it touches nothing that nobody knows. Functions that are not in doubt are better: an
    exception to any other proves nothing."""
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
    """Where one of those in doubt asked: another one each time, for what begins at the end of a table is refused."""
    asked = list({late.request.pdu[1:3]: None for shape, late in in_doubt.items() if shape.function_code == code})
    return bytes((code, *(asked[unit.sent % len(asked)] if asked else b"\0\0"), 0, quantity))


def _free(reads: _Reads, held: dict[tuple[int, int], LateReply]) -> _Reads:
    """Those reads whose reply is as long as none that may still come."""
    return tuple((code, quantity) for code, quantity in reads if (code, 2 + 2 * quantity) not in held)


def _youngest(held: dict[tuple[int, int], LateReply]) -> _Reads:
    """The read canary that was sent last: its reply counts as that to the earlier one, which is enough to prove that
    nothing older comes, and so to make other lengths free. Never a client's: its reply could be taken for the canary's.
    """
    canaries = [(late.numbers[0], code, (length - 2) // 2) for (code, length), late in held.items()
                if late.request.kind is Kind.CANARY and (code, (length - 2) // 2) in _READS]
    return tuple((code, quantity) for _, code, quantity in sorted(canaries)[-1:])
