"""Caches the last replies of a bus, for reads that accept a value which is a little old. Floor 1.

A read with a ``max_age`` is answered at once if the cache has a fitting reply. Such a reply has all the values that the
read asks for, comes from the same unit with the same serial settings, and is no older than ``max_age``. A value's age
counts from the moment at which the last byte of the request left, because the device cannot have looked before that. A
write ends the replies whose values it may have changed: once when it is sent, and again when it is proven.

The reply to a second attempt may be the reply to the first attempt, and thus older, so it is not cached. The reply to a
canary is not cached either: it may be the reply to an older canary, which asked for another address. Nothing is cached
until somebody asks for a cached value.
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
"""How many pairs of unit and function are kept, and how many ranges of each pair."""

_Epoch = tuple[int, int]


class _Kept(NamedTuple):
    """A reply, and the request that it answered."""

    pdu: bytes
    reply: bytes
    serial: SerialSettings
    sampled_after: float
    epoch: _Epoch


class ReplyCache:
    """The last replies of a bus's units. Learns from transactions; see :class:`lumina_twisted.bus.pending.Learner`."""

    def __init__(self) -> None:
        self._groups: dict[tuple[int, int], dict[bytes, _Kept]] = {}
        self._writes: Counter[int] = Counter()
        self._epoch_sent: _Epoch = (0, 0)
        self.is_used = False
        """Whether anybody has asked for a cached value."""

    def began(self, request: Pending, silent_from: float, sent_until: float) -> None:
        """A frame leaves."""
        if not request.is_read:
            self.written(request.unit)
        else:
            self._epoch_sent = self._epoch(request.unit)

    def written(self, unit: int) -> None:
        """A request other than a read was sent, or ended: values that were read before may be different now."""
        self._writes[unit] += 1

    def finished(self, transaction: Finished) -> None:
        """Keeps the reply to a plain read, if the read was sent once."""
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
        """The reply to ``request`` from the cache; None if it has no fitting one of at most ``max_age`` seconds."""
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
        """The port is gone. When it comes back, another bus may be behind it."""
        self._groups.clear()

    def _epoch(self, unit: int) -> _Epoch:
        return self._writes[unit], self._writes[BROADCAST]
