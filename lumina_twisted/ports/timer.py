"""The one delayed call of a port, floor 2.

A reactor on epoll rounds its waits up to whole milliseconds, which is most of a T3.5. A timerfd is an ordinary
descriptor that becomes readable in time. Where the platform has none, the port uses ``callLater``.

Even a timerfd wakes the process late: the kernel and the reactor need time. The timer knows the least time that they
needed recently, and is set earlier by that much. If it wakes too early, its owner finds nothing due and sets it again.

Both timers are lazy. When the owner postpones the time, the timer stays as it is, fires early, and is then set again.
On a busy bus the response timeout moves with each transaction and never expires, so this saves a system call for each.
"""

from __future__ import annotations

import ctypes
import math
import os
import struct
from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime, IReadDescriptor
from zope.interface import implementer

_CLOCK_MONOTONIC: Final = 1
_TFD_FLAGS: Final = os.O_NONBLOCK | os.O_CLOEXEC
_ITIMERSPEC: Final = struct.Struct("@llll")  # interval seconds, nanoseconds; value seconds, nanoseconds
_SHORTEST: Final = 1e-6
_MOST_ANTICIPATED: Final = 0.0002
"""Seconds. A machine that always wakes later than this is so busy that a longer anticipation gains nothing."""
_FORGETTING: Final = 0.02
"""How fast the anticipation grows when wake-ups become later for good."""


class Timer(Protocol):
    """Calls back once, soon after the time that was set.

    ``anticipation`` is the least time, in seconds, that a wake-up took recently, from the event in the kernel to the
    code that handles it.
    """

    anticipation: float

    def set(self, when: float | None) -> None:
        """Sets the time to call back, on the owner's clock; None for no time. The callback may come earlier, so the
        owner checks what is due."""
        ...

    def close(self) -> None:
        """Ends the timer; it never calls back again."""
        ...


def make_timer(reactor: Any, now: Callable[[], float], callback: Callable[[], None]) -> Timer:
    """The finest timer that this reactor and platform have."""
    if hasattr(reactor, "addReader"):
        try:
            return FineTimer(reactor, now, callback)
        except (OSError, AttributeError):
            pass  # no timerfd on this platform
    return CallLaterTimer(reactor, now, callback)


@implementer(IReadDescriptor)
class FineTimer:
    """A timerfd that the reactor reads."""

    def __init__(self, reactor: Any, now: Callable[[], float], callback: Callable[[], None]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_FLAGS)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        self._reactor = reactor
        self._now = now
        self._callback = callback
        self._armed = math.inf  # the time that the owner wants
        self._expiry = 0.0  # the time that the kernel has
        self.anticipation = 0.0
        reactor.addReader(self)

    def set(self, when: float | None) -> None:
        """See :class:`Timer`."""
        if when is None or when >= self._armed:
            return
        self._armed = when
        now = self._now()
        seconds = max(when - self.anticipation - now, _SHORTEST)
        self._expiry = now + seconds
        whole = int(seconds)
        value = _ITIMERSPEC.pack(0, 0, whole, int((seconds - whole) * 1e9))
        self._libc.timerfd_settime(self._fd, 0, value, None)

    def close(self) -> None:
        """See :class:`Timer`."""
        if self._fd >= 0:
            self._reactor.removeReader(self)
            os.close(self._fd)
            self._fd = -1
            self._armed = -math.inf

    def fileno(self) -> int:
        """The timerfd."""
        return int(self._fd)

    def doRead(self) -> None:
        """The timerfd expired."""
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return  # set again between the reactor's poll and this read
        self._armed = math.inf
        self._learn(self._now() - self._expiry)
        self._callback()

    def _learn(self, lateness: float) -> None:
        if lateness < self.anticipation:
            self.anticipation = max(0.0, lateness)
        else:
            grown = self.anticipation + _FORGETTING * (lateness - self.anticipation)
            self.anticipation = min(grown, _MOST_ANTICIPATED)

    def connectionLost(self, reason: object) -> None:
        """The reactor drops the descriptor."""
        self.close()

    def logPrefix(self) -> str:
        """The name in the reactor's log."""
        return "lumina timer"


class CallLaterTimer:
    """A timer on ``callLater``, as precise as the reactor."""

    def __init__(self, clock: IReactorTime, now: Callable[[], float], callback: Callable[[], None]) -> None:
        self._clock = clock
        self._now = now
        self._callback = callback
        self._armed = math.inf
        self.anticipation = 0.0
        self._call: IDelayedCall | None = None

    def set(self, when: float | None) -> None:
        """See :class:`Timer`."""
        if when is None or when >= self._armed:
            return
        self._cancel()
        self._armed = when
        self._call = self._clock.callLater(max(when - self._now(), 0.0), self._fire)

    def close(self) -> None:
        """See :class:`Timer`."""
        self._cancel()
        self._armed = -math.inf

    def _fire(self) -> None:
        self._call, self._armed = None, math.inf
        self._callback()

    def _cancel(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None
