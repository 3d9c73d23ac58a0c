"""Messages that answer no request, and what they show about the bus. Floor 1.

A message that equals our own frame is an echo, or another master sends the same request. Any other request comes from
another master; the reply to it is not ours. A reply is a copy of a recent reply of its unit, or a foreign frame. A
message from the unit and function of the running request that does not have the form of the reply is judged later, when
it is known whether the reply also comes.
"""

from __future__ import annotations

from typing import Final

from lumina_twisted.access.caller import Caller
from lumina_twisted.bus.doubts import Doubts
from lumina_twisted.bus.echo import Echo
from lumina_twisted.bus.events import Finding, Findings, Request
from lumina_twisted.bus.health import Health
from lumina_twisted.bus.pending import Kind, Pending
from lumina_twisted.bus.transaction import Attempt
from lumina_twisted.framing.rtu import OVERHEAD
from lumina_twisted.modbus.functions import BROADCAST, EXCEPTION_FLAG, is_request
from lumina_twisted.modbus.settings import SerialSettings
from lumina_twisted.statistics.counters import Counters, Fault, Faults

_NOBODY: Final = Caller("another master")


class Unexpected:
    """Judges the unexpected messages on one bus.

    :param serial: the serial settings that count until the first frame has left.
    :param is_numbered: whether every reply that comes carries the number of an open request.
    """

    def __init__(
        self, doubts: Doubts, echo: Echo, counters: Counters, health: Health, findings: Findings, faults: Faults,
        serial: SerialSettings, is_numbered: bool,
    ) -> None:
        self._doubts = doubts
        self._echo = echo
        self._counters = counters
        self._health = health
        self._findings = findings
        self._faults = faults
        self._serial = serial
        self._is_numbered = is_numbered
        self.last: Pending | None = None
        """The request of the last frame that left."""
        self.number = 0
        """The number of that frame."""
        self.echo_is_due = False
        """Whether the echo of the last frame may still come after the end of its transaction."""

    def message(self, attempt: Attempt | None, unit: int, pdu: bytes, now: float) -> None:
        """Takes a message that answers no request: an echo, another master's request, a surplus reply, a reply of a
        wrong length, or a foreign frame.

        :param attempt: the running attempt, if any.
        """
        last = self.last
        is_own = last is not None and (unit, pdu) == (last.unit, last.pdu)
        is_echo, self.echo_is_due = is_own and self.echo_is_due, self.echo_is_due and not is_own
        if is_own:
            self._echo.doubt()
        if not is_echo and not self._is_numbered and is_request(pdu):
            self.other_master(unit, pdu, now, is_certain=not is_own)
            return
        if is_own:
            self._counters.foreign += 1
            return
        self._health.heard(unit, self._serial if last is None else last.serial, now)
        if attempt is not None and (attempt.request.unit, attempt.request.pdu[0]) == (
            unit, pdu[0] & ~EXCEPTION_FLAG
        ):
            if attempt.misfit is not None:
                self.surplus(unit, attempt.misfit, attempt.misfit_at)
            attempt.misfit, attempt.misfit_at = pdu, now
            length = len(pdu) + OVERHEAD
            attempt.request.remark = f"a frame of {length} bytes came, which does not answer what was asked"
        else:
            self.surplus(unit, pdu, now)

    def surplus(self, unit: int, pdu: bytes, now: float) -> None:
        """Judges a frame that answers no request: a copy of a recent reply of its unit, or a foreign frame. For a frame
        that came in place of a reply, this is called when it is known whether the reply also comes."""
        if not self._is_numbered and self._doubts.surplus.convicts(unit, pdu, now):
            self.doubled(unit)
            return
        self._counters.foreign += 1
        self._faults.note(unit, Fault.FOREIGN)

    def other_master(self, unit: int, pdu: bytes, now: float, *, is_certain: bool) -> None:
        """Another master sends a request on this wire. A message with the form of the reply to it is not ours.

        :param is_certain: whether the frame cannot be an echo.
        """
        if is_certain:
            self._counters.other_master += 1
            self._faults.note(unit, Fault.OTHER_MASTER)
            self._findings.add(Finding(unit, "other_master"))
        else:
            self._counters.foreign += 1
        if unit != BROADCAST:  # no device answers a broadcast
            serial = self._serial if self.last is None else self.last.serial
            asked = Pending(Request(_NOBODY, unit, pdu, serial, now), Kind.OTHER_MASTER)
            self._doubts.late.other_asked(asked, self.number + 1, now)

    def doubled(self, unit: int) -> None:
        """A unit answered a request twice."""
        self._counters.doubled += 1
        self._faults.note(unit, Fault.DOUBLED)
        self._findings.add(Finding(unit, "doubled"))
