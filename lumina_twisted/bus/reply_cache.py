"""The last replies, for who is content with a value that is a little old. Floor 1.

A read with a ``max_age`` is answered at once by a reply that has all it asks for, from the same unit with the same
serial settings, if the device cannot have been asked longer ago than that. A value's age counts from the moment at
which the last byte of the question left, for before that the device cannot have looked. What a write may have changed
is not kept: it ends with the writing, and again with the write's proof.

What answers a second attempt may be the reply to the first, and older: it is not kept either. Nor is what answers a
canary, which may be the reply to an older one that asked elsewhere; nor anything until somebody asks for it.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

from lumina_twisted.bus.pending import Finished, Kind, Outcome, Pending
from lumina_twisted.modbus.functions import BROADCAST
from lumina_twisted.modbus.read_range import covers, cut
from lumina_twisted.modbus.settings import SerialSettings

_MOST_GROUPS: Final = 64
_MOST_RANGES: Final = 64
"""How many units and functions are kept, and ranges of each."""

_Epoch = tuple[int, int]


class _Kept(NamedTuple):
    """A reply, and what it was the reply to."""

    pdu: bytes
    reply: bytes
    serial: SerialSettings
    sampled_after: float
    epoch: _Epoch


class ReplyCache:
    """What one bus's units replied last. Learns from transactions; see :class:`lumina_twisted.bus.pending.Learner`."""

    def __init__(self) -> None:
        self._groups: dict[tuple[int, int], dict[bytes, _Kept]] = {}
        self._writes: Counter[int] = Counter()
        self._epoch_sent: _Epoch = (0, 0)
        self.is_used = False
        """Whether anybody has asked for what is here."""

    def began(self, request: Pending, silent_from: float, sent_until: float) -> None:
        """A frame leaves."""
        if not request.is_read:
            self.written(request.unit)
        else:
            self._epoch_sent = self._epoch(request.unit)

    def written(self, unit: int) -> None:
        """Something that is no read was sent, or ended: what was read before may be different now."""
        self._writes[unit] += 1

    def finished(self, transaction: Finished) -> None:
        """Keeps the reply to a plain read, if it was asked once."""
        request, reply = transaction.request, transaction.reply
        if transaction.outcome is not Outcome.REPLY or request.attempts != 1 or request.pattern.is_exception(reply):
            return
        if request.span is None or request.kind is Kind.CANARY:
            return
        group = self._groups.setdefault((request.unit, request.pdu[0]), {})
        asked = request.pdu[1:]
        group.pop(asked, None)
        group[asked] = _Kept(request.pdu, reply, request.serial, transaction.sent_until, self._epoch_sent)
        if len(group) > _MOST_RANGES:
            del group[next(iter(group))]
        if len(self._groups) > _MOST_GROUPS:
            del self._groups[next(iter(self._groups))]

    def answer(self, request: Pending, max_age: float, now: float) -> bytes | None:
        """The reply to ``request`` from what is kept, if that is no older than ``max_age`` seconds."""
        if request.span is None:
            return None
        group = self._groups.get((request.unit, request.pdu[0]), {})
        exact = group.get(request.pdu[1:])
        for kept in (exact, *reversed(group.values())) if exact else reversed(group.values()):
            is_right = kept.serial == request.serial and kept.epoch == self._epoch(request.unit)
            if is_right and now - kept.sampled_after <= max_age and covers(kept.pdu, request.pdu):
                return cut(kept.reply, kept.pdu, request.pdu)
        return None

    def forget(self) -> None:
        """The port is gone; what comes back may be another bus."""
        self._groups.clear()

    def _epoch(self, unit: int) -> _Epoch:
        return self._writes[unit], self._writes[BROADCAST]
