"""Where the daemon reports how it is, floor 5: to the operator's terminal, to its log, and to systemd.

systemd gets notifications (sd_notify(3)): Lumina serves, how its ports are, it stops, it is alive. Progress feeds the
watchdog. A reactor that hangs feeds nothing, and Lumina feeds nothing while a port is stuck. systemd then ends a daemon
that looks alive and does nothing (by SIGABRT, after which its stacks are in the journal), and starts it again.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import attrs
from twisted.internet.task import LoopingCall
from twisted.logger import ILogObserver, Logger

from lumina_twisted.log import LogSettings, make_observer
from lumina_twisted.ports.service import PortService
from lumina_twisted.text import shown

_SWEEP_EVERY: Final = 5.0
"""Seconds between two looks for repeated events whose number is to be logged."""
_FEEDS: Final = 4
"""How often the watchdog is fed in its time; twice is usual, and this leaves room for one that is left out."""
_LOOK_EVERY: Final = 2.0
"""Seconds between two looks at the ports where there is no watchdog."""
_LONGEST_STATUS: Final = 300

_log: Final = Logger(namespace="lumina")


class Operator:
    """The operator's stderr, until Lumina serves.

    :param foreground: whether stderr stays the operator's. In the background twistd puts nothing in its place and
        passes on a hundred bytes of an error, so the descriptor is kept until we serve.
    """

    def __init__(self, foreground: bool = True) -> None:
        self.foreground = foreground
        self._fd: int | None = None
        with contextlib.suppress(OSError):  # it may have been closed
            self._fd = 2 if foreground else os.dup(2)

    def tell(self, sentence: str) -> None:
        """Writes a sentence to stderr."""
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.write(self._fd, f"lumina: {shown(sentence)}\n".encode("utf-8", "replace"))

    def leave_alone(self) -> None:
        """In the background, closes stderr once Lumina serves, so that no reader waits for its end."""
        if not self.foreground and self._fd is not None:
            os.close(self._fd)
            self._fd = None


class DaemonLog:
    """The daemon's log: one observer for console and files, which twistd uses as its own.

    :param environment: names there the folder that systemd has made for logs.
    """

    def __init__(self, settings: LogSettings, reactor: Any, environment: Any = os.environ) -> None:
        if settings.directory == LogSettings().directory and (folder := environment.get("LOGS_DIRECTORY")):
            settings = attrs.evolve(settings, directory=folder.partition(":")[0])
        self.observer = make_observer(settings)
        self._sweeping = LoopingCall(self.observer.sweep)
        self._sweeping.clock = reactor

    def offer_to(self, application: Any) -> None:
        """Gives the observer to twistd's application; another parent of the service has no use for it."""
        if hasattr(application, "setComponent"):
            application.setComponent(ILogObserver, self.observer)

    def start(self, ports: Iterable[PortService]) -> None:
        """Lets the ports whose level is debug log their frames; a port does not look at the level itself."""
        for port in ports:
            port.trace_frames(self.observer.is_logged(f"lumina.port.{port.name}", "debug"))
        self._sweeping.start(_SWEEP_EVERY, now=False)

    def close(self) -> None:
        """Logs what was only counted, and waits a short time until all is written."""
        if self._sweeping.running:
            self._sweeping.stop()
        self.observer.close()


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
        """Whether systemd listens."""
        return bool(self._address)

    def tell(self, **states: str) -> None:
        """Sends assignments such as ``READY="1"``; if systemd does not take them, Lumina goes on."""
        if not self._address:
            return
        text = "\n".join(f"{name}={shown(' '.join(value.split()))}" for name, value in states.items())
        # A systemd that restarts, or whose queue is full, gets the next one.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as one,
        ):
            one.sendto(text.encode("utf-8", "replace"), socket.MSG_DONTWAIT, self._address)


class Report:
    """Reports the daemon's state to systemd, from its start to its end.

    :param clock: for the looks at the ports.
    :param status: says in a few words how the ports are.
    :param stuck: names the ports that do nothing although something is due.
    """

    def __init__(
        self, notifier: Notifier, clock: Any, status: Callable[[], str], stuck: Callable[[], Sequence[str]]
    ) -> None:
        self._notifier = notifier
        self._status = status
        self._stuck = stuck
        self._last_status = ""
        self._is_stuck = False
        self._looking = LoopingCall(self._look)
        self._looking.clock = clock

    def ready(self) -> None:
        """All is listening."""
        if self._notifier.is_there:
            self._notifier.tell(READY="1")
            self._looking.start(self._notifier.watchdog / _FEEDS or _LOOK_EVERY)

    def stopping(self) -> None:
        """The end has begun; it is bounded, and no longer watched."""
        if self._looking.running:
            self._looking.stop()
        self._notifier.tell(STOPPING="1", STATUS="stopping")

    def failed(self, sentence: str) -> None:
        """The start, or the run, ends with this sentence."""
        self._notifier.tell(STATUS=sentence[:_LONGEST_STATUS])

    def _look(self) -> None:
        status = self._status()
        if status != self._last_status:
            self._last_status = status
            self._notifier.tell(STATUS=status[:_LONGEST_STATUS])
        stuck = self._stuck()
        if not stuck and self._notifier.watchdog:
            self._notifier.tell(WATCHDOG="1")
        if bool(stuck) != self._is_stuck:
            self._is_stuck = bool(stuck)
            self._log_stuck(stuck)

    def _log_stuck(self, stuck: Sequence[str]) -> None:
        if not stuck:
            _log.info("all ports make progress again")
            return
        _log.critical(
            "what is due on {ports} is not done, a fault of Lumina's own; systemd's watchdog ends it if this lasts",
            ports=", ".join(stuck),
        )
