"""All ports of the daemon, floor 2: found by name or path, opened within a bound, closed when idle (M15)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from lumina_twisted.errors import RequestError
from lumina_twisted.ports.interfaces import Port
from lumina_twisted.ports.service import PortService
from lumina_twisted.ports.settings import Limits, PortSettings, same_place
from lumina_twisted.statistics.monitor import MOST_PORTS, PerformanceMonitor
from lumina_twisted.statistics.queue import QueueAnalytics
from lumina_twisted.text import close_to

STUCK_AFTER: Final = 5.0
"""A port counts as stuck if its due work is late by more seconds than this. A busy reactor is late by milliseconds."""
_LOOK_EVERY: Final = 1.0
"""Seconds between two checks for idle ports."""


class PortPool(MultiService):
    """The configured ports, as one service. Implements :class:`lumina_twisted.ports.interfaces.Ports`.

    :param settings: the ports by name, in the order that makes the first one the default.
    :param now: a clock that never goes back, in seconds.
    :param most_open: how many ports may be open at a time. If a request needs one more, the pool closes the port that
        has been idle longest, among the ports that are opened by a request.
    """

    def __init__(
        self, settings: Mapping[str, PortSettings], reactor: Any, now: Callable[[], float],
        most_open: int = Limits().open_ports,
    ) -> None:
        super().__init__()
        self._now = now
        self._most_open = most_open
        self.monitor = PerformanceMonitor(max(MOST_PORTS, len(settings)))
        """The performance figures of each port."""
        self.analytics = QueueAnalytics(now)
        """The queue figures of each port."""
        self._reactor = reactor
        self._ports: list[PortService] = []
        self._by_path: dict[str, Port] = {}
        self._by_name: dict[str, Port] = {}
        self._look: IDelayedCall | None = None
        """Not a LoopingCall, because that installs Twisted's own reactor, even in an asyncio program."""
        for name, one in settings.items():
            self.add(name, one)

    def add(self, name: str, settings: PortSettings) -> PortService:
        """Adds a port, at any time. If the pool runs, the port opens at once, unless ``settings`` say that its first
        request opens it.

        :raises RequestError: if a port of that name exists.
        """
        if name in self._by_name:
            raise RequestError(f"there is a port {name!r} already; give this one another name")
        port = PortService(
            name, settings, self._reactor, self._now, self._admit, self._twin, self.monitor, self.analytics
        )
        self._ports.append(port)
        self._by_path[port.path] = port
        if name:
            self._by_name[name] = port
        port.setServiceParent(self)
        if self.running:
            self._look_if_needed()
        return port

    def __iter__(self) -> Iterator[PortService]:
        return iter(self._ports)

    def find(self, text: str) -> Port:
        """See :meth:`lumina_twisted.ports.interfaces.Ports.find`."""
        port = self._by_name.get(text) or self._by_path.get(text)
        if port is None:
            known = ", ".join(f"{one.name} ({one.path})" for one in self._ports)
            near = close_to(text, [one.name for one in self._ports])
            meant = f"did you mean {near!r}? " if near else ""
            raise RequestError(f"there is no port {text!r}; {meant}configured are {known}")
        return port

    def status(self) -> str:
        """How many ports are open, and which are not."""
        closed = [port.name for port in self._ports if not port.is_open]
        summary = f"{len(self._ports) - len(closed)} of {len(self._ports)} ports open"
        return f"{summary}; not open: {', '.join(closed)}" if closed else summary

    def stuck(self) -> list[str]:
        """The names of the ports whose due work is long overdue. The cause is a fault in Lumina or in the machine."""
        return [port.name for port in self._ports if port.overdue > STUCK_AFTER]

    def startService(self) -> None:
        """Opens the ports that are set to open at the start."""
        super().startService()
        self._look_if_needed()

    def _look_if_needed(self) -> None:
        if self._look is None and any(port.settings.idle_close for port in self._ports):
            self._look = self._reactor.callLater(_LOOK_EVERY, self._on_look)

    def _on_look(self) -> None:
        self._look = None
        self._look_if_needed()
        self._close_idle()

    def stopService(self) -> Deferred[Any]:
        """Stops all ports at the same time.

        :return: a Deferred that fires when the last one is closed, within the longest ``stop_timeout``.
        """
        if self._look is not None:
            self._look.cancel()
            self._look = None
        stopped: Deferred[Any] = super().stopService()
        return stopped

    def _admit(self, wanted: PortService) -> str | None:
        """Makes room for one more open port, or returns why there is no room."""
        supervised = [port for port in self._ports if port.is_supervised]
        if len(supervised) < self._most_open:
            return None
        spare = [port for port in supervised if port.is_idle and port.settings.open == "request"]
        if not spare:
            return f"{len(supervised)} ports are open already and all in use; ask later, or raise limits.open_ports"
        min(spare, key=lambda port: port.last_request).close_device()
        return None

    def _twin(self, wanted: PortService) -> str:
        """The name of another port that leads to the same device."""
        device = same_place(wanted.path)
        others = (port.name for port in self._ports if port is not wanted and same_place(port.path) == device)
        return next(others, "")

    def _close_idle(self) -> None:
        for port in self._ports:
            limit = port.settings.idle_close
            if limit and port.is_supervised and port.is_idle and self._now() - port.last_request >= limit:
                port.close_device()
