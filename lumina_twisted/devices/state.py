"""The last reading of every point of every device, floor 3.

:meth:`DeviceStates.update` runs for every value that is read, thousands of times a second, and most values have not
changed. So it compares, keeps the new reading, and does no more. A change goes into the history, to the store
(:mod:`lumina_twisted.devices.store`) and to the observers, which are registered by name.

The dead band is measured from the value that was sent last, not from the value that was read last. Otherwise a slow
drift would never be sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from math import isclose
from typing import Final

from attrs import define, field
from twisted.logger import Logger

from lumina_twisted.modbus.values.codec import Value
from lumina_twisted.valueproto.reading import Quality, Reading

StateObserver = Callable[[str, str, Reading], object]
"""Takes a device, a point, and the current reading of the point."""

_log: Final = Logger(namespace="lumina.values")
DEFAULT_HISTORY: Final = 100
"""Changes of a point that are kept: a minute and a half for one that changes each second, in some 10 KB."""
RESTORED: Final = "from before the restart, not read since"
ROUNDING: Final = 1e-14
"""Relative rounding error that a number may have: 1.1 - 1.0 is more than 0.1."""


@define
class _Known:
    """The state of a point: its last reading, the reading that was sent last, and its changes."""

    reading: Reading
    sent: Reading
    changes: deque[Reading]


@define(eq=False)
class DeviceStates:
    """The last reading of every point, its changes, and the observers that get them.

    :param dead_bands: by ``DEVICE.POINT``: a number that differs by no more than this counts as unchanged. It is looked
        up at each update, so it may be replaced.
    :param history: changes of a point that are kept, 1 or more.
    :param keep: is called with each change, with the arguments of
        :meth:`lumina_twisted.devices.store.StateStore.add`; it must return at once.
    """

    dead_bands: Mapping[str, float] = field(factory=dict, kw_only=True)
    history_size: int = field(default=DEFAULT_HISTORY, kw_only=True, alias="history")
    keep: Callable[[str, str, Reading], object] | None = field(default=None, kw_only=True)
    _devices: dict[str, dict[str, _Known]] = field(factory=dict, init=False)
    _watchers: dict[tuple[str | None, str | None], dict[int, StateObserver]] = field(factory=dict, init=False)
    _numbers: count[int] = field(factory=count, init=False)
    _unsent: deque[tuple[str, str, Reading]] = field(factory=deque, init=False)
    _is_sending: bool = field(default=False, init=False)

    def update(self, device: str, points: Mapping[str, Reading]) -> None:
        """Takes new readings of a device. It sends the changes after it has taken all of them."""
        known = self._devices.get(device)
        if known is None:
            known = self._devices[device] = {}
        for name, reading in points.items():
            point = known.get(name)
            if point is None:
                known[name] = _Known(reading, reading, deque((reading,), self.history_size))
            else:
                point.reading = reading
                sent = point.sent
                if reading.quality == sent.quality and reading.why == sent.why and (
                    reading.value == sent.value or not self._differs(device, name, reading.value, sent.value)
                ):
                    continue
                point.sent = reading
                point.changes.append(reading)
            self._unsent.append((device, name, reading))
        if self._unsent and not self._is_sending:
            self._send()

    def reading(self, device: str, point: str) -> Reading | None:
        """The last reading of a point; None if there never was one."""
        known = self._devices.get(device, {}).get(point)
        return None if known is None else known.reading

    def state(self, device: str) -> dict[str, Reading]:
        """The last reading of each point of a device; empty if there never was one."""
        return {name: known.reading for name, known in self._devices.get(device, {}).items()}

    def history(self, device: str, point: str) -> Sequence[Reading]:
        """The last changes of a point, the oldest first."""
        known = self._devices.get(device, {}).get(point)
        return () if known is None else tuple(known.changes)

    def watch(
        self, observer: StateObserver, device: str | None = None, point: str | None = None
    ) -> Callable[[], None]:
        """Calls ``observer`` with each change from now on, in the order in which they came.

        An exception of an observer is logged, and affects no other observer.

        :param device: only changes of this device; None: of all.
        :param point: only changes of points with this name; None: of all.
        :return: a function that ends the watch at once. A second call does nothing.
        """
        number = next(self._numbers)
        self._watchers.setdefault((device, point), {})[number] = observer
        return partial(self._end_watch, (device, point), number)

    def restore(
        self, readings: Mapping[tuple[str, str], Reading],
        changes: Mapping[tuple[str, str], Sequence[Reading]] | None = None,
    ) -> None:
        """Restores the readings from before a restart, by device and point, and sends nothing. The restored values are
        stale until they are read again. A point that has been read since the restart keeps its new reading.

        :param readings: the last reading of each point.
        :param changes: the last changes of each point, the oldest first.
        """
        for (device, name), last in readings.items():
            before = (changes or {}).get((device, name), ())
            points = self._devices.setdefault(device, {})
            if name in points:
                points[name].changes = deque((*before, *points[name].changes), self.history_size)
            elif last.value is not None:
                stale = Reading(last.value, Quality.STALE, last.time, RESTORED)
                points[name] = _Known(stale, stale, deque(before, self.history_size))

    def readings(self) -> Iterator[tuple[str, str, Reading]]:
        """The last reading of every point, as :meth:`lumina_twisted.devices.store.StateStore.stop` takes them."""
        for device, points in self._devices.items():
            for name, known in points.items():
                yield device, name, known.reading

    def _differs(self, device: str, name: str, new: Value | None, old: Value | None) -> bool:
        """Whether two values that are not equal differ by more than the dead band."""
        if not (isinstance(new, int | float) and isinstance(old, int | float)):
            return True
        if new != new and old != old:
            return False  # both are NaN
        band = self.dead_bands.get(f"{device}.{name}", 0.0)
        if not band:
            return True
        step = abs(new - old)
        return not (step <= band or isclose(step, band, rel_tol=0.0, abs_tol=ROUNDING * max(abs(new), abs(old))))

    def _send(self) -> None:
        """Sends the changes that wait. If an observer causes another change, that change goes to the end of the queue,
        so that every observer gets the last value last."""
        self._is_sending = True
        try:
            while self._unsent:
                device, name, reading = self._unsent.popleft()
                if self.keep is not None:
                    self._call(self.keep, device, name, reading)
                for key in ((device, name), (device, None), (None, name), (None, None)):
                    if watchers := self._watchers.get(key):
                        for number, observer in tuple(watchers.items()):
                            if number in watchers:  # else another observer has just ended this watch
                                self._call(observer, device, name, reading)
        finally:
            self._is_sending = False

    def _call(self, observer: StateObserver, device: str, name: str, reading: Reading) -> None:
        try:
            observer(device, name, reading)
        except Exception:
            _log.failure("An observer of {device}.{point} failed", device=device, point=name)

    def _end_watch(self, key: tuple[str | None, str | None], number: int) -> None:
        watchers = self._watchers.get(key, {})
        watchers.pop(number, None)
        if not watchers:
            self._watchers.pop(key, None)
