"""The one delayed call of a port, floor 2.

A reactor on epoll rounds its waits up to whole milliseconds, which is most of a T3.5. A timerfd is an ordinary
descriptor that becomes readable in time; where there is none, ``callLater`` does.

Even a timerfd wakes us late: the kernel and the reactor take a while. The least they took of late is known, and by so
much the timer is set earlier. Should it then wake too early, its owner sees that nothing is due and sets it again.

Both are lazy: a timer that is put off is left as it is, fires early, and is then set anew. On a busy bus the response
timeout moves with each transaction and never comes, so this saves a system call each.
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
"""Seconds; a machine so busy that it always wakes later than this gains nothing from more."""
_FORGETTING: Final = 0.02
"""How fast the least lateness gives way to a greater one that lasts."""


class Timer(Protocol):
    """Calls back once, soon after the time it was set to.

    ``anticipation`` is the least time, in seconds, that a wake-up has taken of late, from the event in the kernel to
    the code that it concerns.
    """

    anticipation: float

    def set(self, when: float | None) -> None:
        """Calls back at ``when`` on the owner's clock (or earlier; the owner looks again), or not at all."""
        ...

    def close(self) -> None:
        """Never calls back again."""
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
        self._armed = math.inf  # what its owner wants
        self._expiry = 0.0  # what the kernel has
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
        """It expired."""
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return  # set anew between the reactor's look and this one
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
        """The reactor lets go of it."""
        self.close()

    def logPrefix(self) -> str:
        """What the reactor calls it in its log."""
        return "lumina timer"


class CallLaterTimer:
    """``callLater``, as fine as the reactor is."""

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
