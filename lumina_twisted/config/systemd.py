"""What systemd is told, floor 5 (sd_notify(3)): that we serve, how the ports are, that we stop, and that we live.

The watchdog is fed by progress. A reactor that hangs feeds nothing; and nor do we while a port is stuck, so that
systemd ends a daemon that looks alive and does nothing (by SIGABRT, after which its stacks are in the journal), and
starts it again. Without systemd all this does nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from lumina_twisted.text import shown

_FEEDS: Final = 4
"""How often the watchdog is fed in its time; twice is usual, and this leaves room for one that is left out."""
_LOOK_EVERY: Final = 2.0
"""Seconds between two looks at the ports where there is no watchdog."""
_LONGEST_STATUS: Final = 300


class Notifier:
    """The socket that systemd listens on, if it does.

    :param environment: holds ``NOTIFY_SOCKET``, and ``WATCHDOG_USEC`` where there is a watchdog.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        for_us = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        usec = environment.get("WATCHDOG_USEC", "")
        self.watchdog = int(usec) / 1e6 if self._address and for_us and usec.isdecimal() else 0.0
        """Seconds after which systemd ends a daemon that feeds it nothing; 0 without a watchdog."""

    @property
    def is_there(self) -> bool:
        """Whether anybody listens."""
        return bool(self._address)

    def tell(self, **states: str) -> None:
        """Sends assignments such as ``READY="1"``; a systemd that does not take them holds nobody up."""
        if not self._address:
            return
        told = "\n".join(f"{name}={shown(' '.join(value.split()))}" for name, value in states.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as one:
                one.sendto(told.encode("utf-8", "replace"), socket.MSG_DONTWAIT, self._address)
        except OSError:
            pass  # it is restarted, or its queue is full: the next one will come through


_log: Final = Logger(namespace="lumina")


class Report:
    """Tells systemd of the daemon, from its start to its end.

    :param clock: for the looks.
    :param status: says in a few words how the ports are.
    :param stuck: names the ports that do nothing although something is due.
    """

    def __init__(
        self, notifier: Notifier, clock: Any, status: Callable[[], str], stuck: Callable[[], Sequence[str]]
    ) -> None:
        self._notifier = notifier
        self._status = status
        self._stuck = stuck
        self._told = ""
        self._is_stuck = False
        self._looking = LoopingCall(self._look)
        self._looking.clock = clock

    def ready(self) -> None:
        """All is listening."""
        if not self._notifier.is_there:
            return
        self._notifier.tell(READY="1")
        watchdog = self._notifier.watchdog
        self._looking.start(watchdog / _FEEDS if watchdog else _LOOK_EVERY)

    def stopping(self) -> None:
        """The end has begun; it is bounded, and no longer watched."""
        if self._looking.running:
            self._looking.stop()
        self._notifier.tell(STOPPING="1", STATUS="stopping")

    def failed(self, sentence: str) -> None:
        """The start, or the run, ends with this."""
        self._notifier.tell(STATUS=sentence[:_LONGEST_STATUS])

    def _look(self) -> None:
        status = self._status()
        if status != self._told:
            self._told = status
            self._notifier.tell(STATUS=status[:_LONGEST_STATUS])
        stuck = self._stuck()
        if not stuck and self._notifier.watchdog:
            self._notifier.tell(WATCHDOG="1")
        if bool(stuck) != self._is_stuck:
            self._is_stuck = bool(stuck)
            self._tell_stuck(stuck)

    def _tell_stuck(self, stuck: Sequence[str]) -> None:
        if not stuck:
            _log.info("all ports make progress again")
            return
        _log.critical(
            "what is due on {ports} is not done, a fault of Lumina's own; systemd's watchdog ends it if this lasts",
            ports=", ".join(stuck),
        )
