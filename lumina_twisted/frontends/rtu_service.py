"""What the fronts have in common that serve one program at a terminal, floor 4: how it asks, is counted and stopped."""

from __future__ import annotations

import os
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from lumina_twisted.access.caller import Caller
from lumina_twisted.frontends.context import Context
from lumina_twisted.frontends.endpoints import Place
from lumina_twisted.frontends.gateway import Gateway
from lumina_twisted.frontends.plugin import IFrontEnd
from lumina_twisted.frontends.rtu import Program


class RtuService(Service):
    """One program behind a terminal. To derive from: how it is sent a frame, and whether bytes of it wait."""

    def __init__(self, options: Any, context: Context) -> None:
        self.path: str = options.endpoint
        self.log = context.log
        self.clock = context.reactor
        self.is_stopping = False
        self._pending: set[Deferred[Any]] = set()
        self._waiting_for_end: list[Deferred[None]] = []
        self.program = Program(
            Caller(f"the program at {self.path}", listener=context.name),
            Gateway(options, options.timeout, context.buses), options, self.clock, self.log, send=self.send,
            begins_anew=self.begins_anew, pending=self._pending, ended=self._ended,
        )

    def send(self, frame: bytes) -> None:
        """A frame for the program."""
        raise NotImplementedError

    def begins_anew(self) -> bool:
        """Whether bytes of the program's wait that have not been read yet."""
        raise NotImplementedError

    def counts(self) -> dict[str, int]:
        """What ``stats`` tells about it."""
        program = self.program
        return {"requests": program.requests, "errors": program.errors, "withheld": program.withheld}

    def last_answered(self) -> Deferred[None]:
        """Takes no request any more; fires with None when the last one has ended."""
        self.is_stopping = True
        if not self._pending:
            return succeed(None)
        ended: Deferred[None] = Deferred()
        self._waiting_for_end.append(ended)
        return ended

    def _ended(self) -> None:
        if not self._pending:
            waiting, self._waiting_for_end = self._waiting_for_end, []
            for deferred in waiting:
                deferred.callback(None)


@implementer(IFrontEnd)
class TerminalFrontEnd:
    """A front-end whose endpoint is a path. To derive from: a name, a summary, an example, options, and the rest."""

    name = ""
    summary = ""
    endpoint = ""
    options: type[Any]
    what = ""
    """What the path is of."""
    service: type[RtuService]

    def fault(self, endpoint: str) -> str | None:
        """See :class:`lumina_twisted.frontends.plugin.IFrontEnd`."""
        if not endpoint.startswith("/"):
            return f"expected the path of {self.what}, as {self.endpoint}, got {endpoint!r}"
        return None

    def place(self, endpoint: str) -> Place | None:
        """See :class:`lumina_twisted.frontends.plugin.IFrontEnd`."""
        return Place(os.path.realpath(endpoint))

    def make(self, options: Any, context: Context) -> IService:
        """See :class:`lumina_twisted.frontends.plugin.IFrontEnd`."""
        return self.service(options, context)
