"""Reads that several clients want at the same time are one transaction. Floor 1.

A read (functions 1 to 4) rides along with one of another client that waits, if that one asks for all that it asks for:

* not once the other's frame began: what the device answers is then older than the question;
* never across a write to that unit that came between the two, nor across a broadcast write;
* only with the same serial settings;
* never one client's with its own, for there are registers that are cleared by reading, and queues; and not while its
  client waits for anything else from that unit, for the order of its requests would change;
* not with a unit that has ``share = false``.

A reply serves all that ride, each with its own range of it. A range is never put together from two transactions. If
the other's request comes to nothing for a reason of its own, its client left or its deadline passed, those that rode
are asked for themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator

from lumina_twisted.bus.events import Request
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.modbus.functions import BROADCAST

BITS = frozenset({1, 2})
SHAREABLE = frozenset({1, 2, 3, 4})


class Sharing:
    """Who rides with whom on one bus.

    :param settings: which units are shared, and how many may ride: no more than may wait.
    """

    def __init__(self, settings: BusSettings) -> None:
        self._settings = settings
        self._leaders: dict[tuple[int, int], list[Request]] = {}
        self.riders: dict[Request, Request] = {}
        """All that ride, each with whom; for looking at."""
        self._shares_all = settings.share and not settings.units
        self._riding: Counter[tuple[Hashable, int]] = Counter()
        self._writes: Counter[int] = Counter()

    def __iter__(self) -> Iterator[Request]:
        """All that ride."""
        return iter(list(self.riders))

    def note(self, request: Request) -> None:
        """Something was submitted: a read may be ridden with, across a write nobody rides."""
        if not request.is_read:
            self._writes[request.unit] += 1
        request.epoch = self._epoch(request.unit)

    def offer(self, request: Request) -> None:
        """It waits for its own turn, and others may ride with it."""
        if self._is_shareable(request):
            key = request.unit, request.pdu[0]
            offered = self._leaders.get(key)
            if offered is None:
                self._leaders[key] = [request]
            else:
                offered.append(request)

    def leader_for(self, request: Request) -> Request | None:
        """Whom ``request`` could ride with, if nothing of its own client waits for that unit."""
        key = request.unit, request.pdu[0]
        offered = self._leaders.get(key)
        if offered is None or not self._is_shareable(request) or len(self.riders) >= self._settings.queue:
            return None
        waiting = [one for one in offered if one.is_waiting and not one.attempts]
        if not waiting:
            del self._leaders[key]
            return None
        self._leaders[key] = waiting
        if (request.client, request.unit) in self._riding:
            return None
        return next((one for one in waiting if self._fits(request, one)), None)

    def is_riding(self, client: Hashable, unit: int) -> bool:
        """Whether a read of that client's to that unit rides with another's; a broadcast is to every unit."""
        if unit == BROADCAST:
            return any(one == client for one, _ in self._riding)
        return (client, unit) in self._riding

    def leaders_of(self, client: Hashable, unit: int) -> Iterator[Request]:
        """Those with whom that client's reads of that unit ride; a broadcast is to every unit."""
        return (
            leader for rider, leader in self.riders.items()
            if rider.client == client and unit in (rider.unit, BROADCAST)
        )

    def has_waiting(self, unit: int, function_code: int) -> bool:
        """Whether a read of a unit and function waits for a turn of its own."""
        return any(one.is_waiting for one in self._leaders.get((unit, function_code), ()))

    def waiting(self, unit: int, function_code: int) -> list[Request]:
        """The reads of a unit and function that wait for a turn of their own."""
        return [one for one in self._leaders.get((unit, function_code), ()) if one.is_waiting]

    def board(self, block: Request, member: Request) -> None:
        """``member`` rides with a block from now on, and so do those who rode with it."""
        for rider in self.release(member):
            self.join(rider, block)
        self.join(member, block)

    def join(self, rider: Request, leader: Request) -> None:
        """From now on ``rider`` rides with ``leader``."""
        self.riders[rider] = leader
        self._riding[rider.client, rider.unit] += 1
        leader.riders.append(rider)

    def leave(self, rider: Request) -> Request | None:
        """It rides no more.

        :return: whom it rode with, if it did.
        """
        leader = self.riders.pop(rider, None)
        if leader is not None:
            leader.riders.remove(rider)
            self._riding[rider.client, rider.unit] -= 1
            if not self._riding[rider.client, rider.unit]:
                del self._riding[rider.client, rider.unit]
        return leader

    def release(self, leader: Request) -> list[Request]:
        """All that ride with ``leader``, in the order in which they came; they ride no more."""
        riders = list(leader.riders)
        for rider in riders:
            self.leave(rider)
        return riders

    def _is_shareable(self, request: Request) -> bool:
        return (self._shares_all or self._settings.shares(request.unit)) and is_plain_read(request.pdu)

    def _fits(self, request: Request, leader: Request) -> bool:
        same = leader.epoch == request.epoch and leader.serial == request.serial
        return same and covers(leader.pdu, request.pdu)

    def _epoch(self, unit: int) -> tuple[int, int]:
        return self._writes.get(unit, 0), self._writes.get(BROADCAST, 0)


def is_plain_read(pdu: bytes) -> bool:
    """Whether it asks for a range and does nothing else: a whole PDU of functions 1 to 4."""
    return pdu[0] in SHAREABLE and len(pdu) == 5


def span(pdu: bytes) -> tuple[int, int]:
    """First entry, and one behind the last, of a read."""
    first = pdu[1] << 8 | pdu[2]
    return first, first + (pdu[3] << 8 | pdu[4])


def covers(whole: bytes, part: bytes) -> bool:
    """Whether one read asks for all that another of the same unit and function does."""
    if whole == part:
        return True
    (first, end), (inner, inner_end) = span(whole), span(part)
    return first <= inner < inner_end <= end


def cut(reply: bytes, whole: bytes, part: bytes) -> bytes:
    """What of a normal reply answers a part of what was asked.

    :param reply: the PDU that answers ``whole``.
    :return: the PDU that answers ``part``.
    """
    if whole == part:
        return reply
    (first, _), (inner, inner_end) = span(whole), span(part)
    data, skipped, wanted = reply[2:], inner - first, inner_end - inner
    if reply[0] in BITS:
        bits = int.from_bytes(data, "little") >> skipped & (1 << wanted) - 1
        data = bits.to_bytes((wanted + 7) // 8, "little")
    else:
        data = data[2 * skipped : 2 * (skipped + wanted)]
    return bytes((reply[0], len(data))) + data
