"""The daemon's log, floor 5: one observer for console and files, which twistd is given as its own."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Final

import attrs
from twisted.internet.task import LoopingCall
from twisted.logger import ILogObserver

from lumina_twisted.log import LogSettings, make_observer
from lumina_twisted.ports.service import PortService

_LOOK_EVERY: Final = 5.0
"""Seconds between two looks for repeated events whose number is to be told."""


class DaemonLog:
    """Where the daemon's log goes.

    :param environment: systemd tells there which folder it has made for logs.
    """

    def __init__(self, settings: LogSettings, reactor: Any, environment: Any = os.environ) -> None:
        if settings.directory == LogSettings().directory and (folder := environment.get("LOGS_DIRECTORY")):
            settings = attrs.evolve(settings, directory=folder.partition(":")[0])
        self.observer = make_observer(settings)
        self._look = LoopingCall(self.observer.sweep)
        self._look.clock = reactor

    def offer_to(self, application: Any) -> None:
        """twistd's application, or whatever else the service's parent is."""
        if hasattr(application, "setComponent"):
            application.setComponent(ILogObserver, self.observer)

    def start(self, ports: Iterable[PortService]) -> None:
        """Has those ports log their frames whose level is debug; a port does not look at the level itself."""
        for port in ports:
            port.trace_frames(self.observer.is_logged(f"lumina.port.{port.name}", "debug"))
        self._look.start(_LOOK_EVERY, now=False)

    def close(self) -> None:
        """Tells what was only counted, and waits a short time until all is written."""
        if self._look.running:
            self._look.stop()
        self.observer.close()
