"""Which units answer, so that a dead unit costs the other units almost nothing. Floor 1.

The state is kept per unit *and serial settings*. A client that asks at a wrong speed gets no answer, but does not make
the unit unavailable for other clients.

========  ================================  ===================================  ===============================
state     an attempt got no answer          a frame came from the unit           a request comes
========  ================================  ===================================  ===============================
ONLINE    SUSPECT                           ONLINE                               it is sent
SUSPECT   after a run of them OFFLINE       ONLINE                               it is sent
OFFLINE                                     ONLINE                               it is refused, or is the probe
PROBING   OFFLINE, the next probe is later  ONLINE                               it is refused
========  ================================  ===================================  ===============================

The probe is a client's own request, sent once. The interval between probes of one unit doubles until the probes cost
3 % of the bus time, and is 10 s at most. It is longer only if clients ask for so many dead units that the probes would
take more than a fifth of the bus time. A unit that answered any request in the last second does not go offline.
"""

from __future__ import annotations

import math
from typing import Final

from lumina_twisted.bus.events import Events, HealthChange, UnitState
from lumina_twisted.bus.pending import Pending
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.modbus.settings import SerialSettings

LONGEST_INTERVAL: Final = 10.0
"""Seconds between two probes of a unit, at most, unless very many units are dead."""
SHARE: Final = 0.03
"""The share of the bus time for the probes of one unit."""
SHARE_OF_ALL: Final = 0.2
"""The share of the bus time for the probes of all units."""
WANTED: Final = 20.0
"""Seconds after a refused request for which an offline unit counts as one that clients ask for."""
RECENTLY: Final = 1.0
"""Seconds after a frame from a unit in which the unit does not go offline."""
_MOST_KEPT: Final = 1024
"""Pairs of unit and settings that are kept; a client that invents baud rates must not fill the memory."""


class _Silence:
    """The unanswered attempts of one unit with certain serial settings."""

    __slots__ = ("asked_at", "cost", "failed_at", "interval", "run", "state")

    def __init__(self) -> None:
        self.state = UnitState.SUSPECT
        self.run = 0  # attempts in a row without an answer
        self.interval = 0.0  # seconds until the next probe
        self.failed_at = -math.inf  # when the last attempt failed
        self.cost = 0.0  # seconds that it held the bus
        self.asked_at = -math.inf  # when a request to the unit was last refused


_Key = tuple[int, SerialSettings]


class Health:
    """The states of the units on one bus.

    :param settings: tell after how many unanswered attempts a unit is offline.
    :param events: receives the changes.
    """

    def __init__(self, settings: BusSettings, events: Events) -> None:
        self._settings = settings
        self.silent: dict[_Key, _Silence] = {}
        """The units that are not online. Other modules only read it."""
        self.heard_at = [-math.inf] * 256
        """By unit, when its last frame was received."""
        self._counted_at, self._count = -math.inf, 0
        self._events = events

    def state_of(self, unit: int, serial: SerialSettings) -> UnitState:
        """The state of a unit with these serial settings."""
        silence = self.silent.get((unit, serial))
        return UnitState.ONLINE if silence is None else silence.state

    def offline_units(self) -> tuple[int, ...]:
        """The numbers of the units that are offline with any settings, in ascending order."""
        return tuple(sorted({
            unit for (unit, _), silence in self.silent.items() if silence.state is not UnitState.SUSPECT
        }))

    def refuses(self, request: Pending, now: float) -> bool:
        """Whether a request is for an offline unit, and is not to be the probe."""
        if not self.silent:
            return False
        silence = self.silent.get((request.unit, request.serial))
        if silence is None or silence.state is UnitState.SUSPECT:
            return False
        is_refused = (
            silence.state is UnitState.PROBING or now < silence.failed_at + silence.interval
            or now < silence.failed_at + self._wanted(now) * silence.cost / SHARE_OF_ALL
        )
        if is_refused:
            silence.asked_at = now
        return is_refused

    def is_offline(self, request: Pending) -> bool:
        """Whether a request is for a unit that is offline or being probed."""
        silence = self.silent.get((request.unit, request.serial)) if self.silent else None
        return silence is not None and silence.state in {UnitState.OFFLINE, UnitState.PROBING}

    def sent(self, request: Pending) -> None:
        """The frame of a request left."""
        if self.is_offline(request):
            self.silent[request.unit, request.serial].state = UnitState.PROBING

    def heard(self, unit: int, serial: SerialSettings, now: float) -> None:
        """A frame came from a unit."""
        self.heard_at[unit] = now
        if self.silent:
            silence = self.silent.pop((unit, serial), None)
            if silence is not None and silence.state is not UnitState.SUSPECT:
                self._events.append(HealthChange(unit, serial, UnitState.ONLINE))

    def unanswered(self, request: Pending, cost: float, now: float) -> None:
        """A request got no answer in time, and held the bus for ``cost`` seconds."""
        needed = self._settings.for_unit(request.unit).offline_after
        if not needed or request.is_broadcast:
            return
        key = request.unit, request.serial
        silence = self.silent.get(key)
        if silence is None:
            silence = self._add(key)
        silence.run += 1
        if silence.state is UnitState.SUSPECT and (
            silence.run < needed or now < self.heard_at[request.unit] + RECENTLY
        ):
            return
        if silence.state is UnitState.SUSPECT:
            self._events.append(HealthChange(request.unit, request.serial, UnitState.OFFLINE))
        silence.state = UnitState.OFFLINE
        silence.interval = min(max(cost, 2 * silence.interval), cost / SHARE, LONGEST_INTERVAL)
        silence.failed_at, silence.cost = now, cost

    def nothing_learned(self) -> None:
        """The transaction ended and tells nothing about its unit: a probe may be sent again."""
        for silence in self.silent.values():
            if silence.state is UnitState.PROBING:
                silence.state = UnitState.OFFLINE

    def _wanted(self, now: float) -> int:
        """The number of offline units that clients keep asking for; counted once a second at most."""
        if now >= self._counted_at + 1.0:
            self._counted_at = now
            self._count = sum(
                one.state is not UnitState.SUSPECT and now < one.asked_at + WANTED for one in self.silent.values()
            )
        return max(1, self._count)

    def _add(self, key: _Key) -> _Silence:
        if len(self.silent) >= _MOST_KEPT:
            del self.silent[next(iter(self.silent))]
        made = self.silent[key] = _Silence()
        return made
