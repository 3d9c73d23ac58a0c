"""Which units answer, so that one that is dead costs the others next to nothing. Floor 1.

Kept per unit *and serial settings*: who asks at a wrong speed finds nobody there, and takes the unit from nobody else.

========  ================================  ===================================  ===============================
state     an attempt got no answer          a frame came from it                 a request comes
========  ================================  ===================================  ===============================
ONLINE    SUSPECT                           ONLINE                               it is asked
SUSPECT   after a run of them OFFLINE       ONLINE                               it is asked
OFFLINE                                     ONLINE                               it is refused, or is the probe
PROBING   OFFLINE, the next probe is later  ONLINE                               it is refused
========  ================================  ===================================  ===============================

The probe is a client's own request, sent once. Probes of one unit come at intervals that double until they cost 3 % of
the bus, 10 s at most; less often only where so many dead units are asked for that they would take more than a fifth.
A unit that answered anybody in the last second is not offline.
"""

from __future__ import annotations

import math
from typing import Final

from lumina_twisted.bus.events import Events, HealthChange, UnitState
from lumina_twisted.bus.pending import Pending
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.modbus.settings import SerialSettings

LONGEST_INTERVAL: Final = 10.0
"""Seconds between two probes of a unit, at most, unless very many are dead."""
SHARE: Final = 0.03
"""Of the bus, for the probes of one unit; and of all units:"""
SHARE_OF_ALL: Final = 0.2
WANTED: Final = 20.0
"""Seconds for which a unit that is offline counts as one that somebody asks for."""
RECENTLY: Final = 1.0
"""Seconds for which a unit that answered counts as alive, whatever it does."""
_MOST_KEPT: Final = 1024
"""Silent units and settings that are remembered; a client that invents baud rates must not fill the memory."""


class _Silence:
    """Of one unit, at one speed and format."""

    __slots__ = ("asked_at", "cost", "failed_at", "interval", "run", "state")

    def __init__(self) -> None:
        self.state = UnitState.SUSPECT
        self.run = 0  # attempts without an answer, one after the other
        self.interval = 0.0  # until the next probe
        self.failed_at = -math.inf  # when the last attempt had come to nothing
        self.cost = 0.0  # of that
        self.asked_at = -math.inf  # when somebody asked for it and was refused


_Key = tuple[int, SerialSettings]


class Health:
    """What one bus knows of its units.

    :param settings: after how many unanswered attempts a unit is offline.
    :param events: where changes go.
    """

    def __init__(self, settings: BusSettings, events: Events) -> None:
        self._settings = settings
        self.silent: dict[_Key, _Silence] = {}
        """Those that are not online; for looking at."""
        self.heard_at = [-math.inf] * 256
        """By unit, when its last frame came."""
        self._counted_at, self._count = -math.inf, 0
        self._events = events

    def state_of(self, unit: int, serial: SerialSettings) -> UnitState:
        """What is known of a unit when it is asked with these settings."""
        silence = self.silent.get((unit, serial))
        return UnitState.ONLINE if silence is None else silence.state

    def offline_units(self) -> tuple[int, ...]:
        """Those that are offline with any settings, by number."""
        return tuple(sorted({
            unit for (unit, _), silence in self.silent.items() if silence.state is not UnitState.SUSPECT
        }))

    def refuses(self, request: Pending, now: float) -> bool:
        """Whether a request would only find a unit that is offline, and is not to be the probe."""
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
        """Whether a request asks a unit that is offline, or asked whether it still is."""
        silence = self.silent.get((request.unit, request.serial)) if self.silent else None
        return silence is not None and silence.state in {UnitState.OFFLINE, UnitState.PROBING}

    def sent(self, request: Pending) -> None:
        """A request left."""
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
        """Nothing came in time, and the bus was held for ``cost`` seconds."""
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
        """What was on the wire ended without saying anything of its unit: a probe may be sent again."""
        for silence in self.silent.values():
            if silence.state is UnitState.PROBING:
                silence.state = UnitState.OFFLINE

    def _wanted(self, now: float) -> int:
        """How many are offline, and somebody asks for them again and again; counted once a second at most."""
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
