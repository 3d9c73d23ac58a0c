"""When the log of a port names a noisy unit, floor 2: the clock of :mod:`lumina_twisted.bus.noise`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from lumina_twisted.bus.noise import FIRST_LOOK, LOOK_EVERY, NoiseWatch


class NoiseTimer:
    """Looks at the troubles of one bus while there are any; no call is pending on a bus without faults.

    :param clock: for its delayed call.
    :param now: the bus's time.
    :param tell: told a unit, whether something is wrong with it, and the sentence.
    """

    def __init__(
        self, watch: NoiseWatch, clock: Any, now: Callable[[], float], tell: Callable[[int, bool, str], None]
    ) -> None:
        self._watch = watch
        self._clock = clock
        self._now = now
        self._tell = tell
        self._call: IDelayedCall | None = None
        watch.on_begin = self._begin

    def stop(self) -> None:
        """Looks no more, until something fails again."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _begin(self) -> None:
        if self._call is None:
            self._call = self._clock.callLater(FIRST_LOOK, self._look)

    def _look(self) -> None:
        self._call = None
        for unit, is_wrong, sentence in self._watch.look(self._now()):
            self._tell(unit, is_wrong, sentence)
        if self._watch.is_watching:
            self._call = self._clock.callLater(LOOK_EVERY, self._look)
