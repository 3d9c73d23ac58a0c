"""Reports of the daemon's state, floor 5: to the operator's terminal, to its log, and to systemd.

systemd gets notifications (sd_notify(3)): Lumina serves, the state of its ports, Lumina stops, Lumina is alive.
Progress feeds the watchdog. A reactor that hangs feeds nothing, and Lumina feeds nothing while a port is stuck. systemd
then ends the daemon with SIGABRT, so that its stacks are in the journal, and starts it again.
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
"""Seconds between two checks for repeated events whose number must be logged."""
_FEEDS: Final = 4
"""How often Lumina feeds the watchdog in its period. Twice is usual; this value tolerates a missed one."""
_LOOK_EVERY: Final = 2.0
"""Seconds between two checks of the ports if there is no watchdog."""
_LONGEST_STATUS: Final = 300

_log: Final = Logger(namespace="lumina")


class Operator:
    """The operator's stderr, until Lumina serves.

    :param foreground: whether stderr stays the operator's. In the background, twistd takes stderr away and passes on
        only a hundred bytes of an error. So this class keeps the descriptor until Lumina serves.
    """

    def __init__(self, foreground: bool = True) -> None:
        self.foreground = foreground
        self._fd: int | None = None
        with contextlib.suppress(OSError):  # stderr may be closed
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

    :param environment: ``LOGS_DIRECTORY`` there names the folder that systemd made for logs.
    """

    def __init__(self, settings: LogSettings, reactor: Any, environment: Any = os.environ) -> None:
        if settings.directory == LogSettings().directory and (folder := environment.get("LOGS_DIRECTORY")):
            settings = attrs.evolve(settings, directory=folder.partition(":")[0])
        self.observer = make_observer(settings)
        self._sweeping = LoopingCall(self.observer.sweep)
        self._sweeping.clock = reactor

    def offer_to(self, application: Any) -> None:
        """Gives the observer to twistd's application. Any other parent of the service has no use for it."""
        if hasattr(application, "setComponent"):
            application.setComponent(ILogObserver, self.observer)

    def start(self, ports: Iterable[PortService]) -> None:
        """Turns on frame logging for each port whose level is debug; a port does not check the level itself."""
        for port in ports:
            port.trace_frames(self.observer.is_logged(f"lumina.port.{port.name}", "debug"))
        self._sweeping.start(_SWEEP_EVERY, now=False)

    def close(self) -> None:
        """Logs the events that were only counted, and waits a short time until all is written."""
        if self._sweeping.running:
            self._sweeping.stop()
        self.observer.close()


class Notifier:
    """The notification socket of systemd, if there is one.

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
        """Sends assignments such as ``READY="1"``. If systemd does not accept them, Lumina goes on."""
        if not self._address:
            return
        text = "\n".join(f"{name}={shown(' '.join(value.split()))}" for name, value in states.items())
        # If systemd restarts or its queue is full, this message is lost, and systemd gets the next one.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as one,
        ):
            one.sendto(text.encode("utf-8", "replace"), socket.MSG_DONTWAIT, self._address)


class Report:
    """Reports the daemon's state to systemd, from its start to its end.

    :param clock: schedules the checks of the ports.
    :param status: returns the state of the ports in a few words.
    :param stuck: returns the names of the ports that do nothing although work is due.
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
        """Reports that all listeners listen."""
        if self._notifier.is_there:
            self._notifier.tell(READY="1")
            self._looking.start(self._notifier.watchdog / _FEEDS or _LOOK_EVERY)

    def stopping(self) -> None:
        """Reports that Lumina stops. The stop takes a bounded time; the checks of the ports end."""
        if self._looking.running:
            self._looking.stop()
        self._notifier.tell(STOPPING="1", STATUS="stopping")

    def failed(self, sentence: str) -> None:
        """Reports that the start, or the run, ends with this error."""
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
