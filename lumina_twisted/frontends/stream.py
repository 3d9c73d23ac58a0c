"""A factory that listens at an endpoint, as a service, floor 4."""

from __future__ import annotations

from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from lumina_twisted.frontends.endpoints import make_endpoint

_log: Final = Logger(namespace="lumina.listener")


class StreamService(Service):
    """Listens while it runs.

    :param endpoint: a Twisted server endpoint, as text.
    :param factory: what speaks there. If it has ``drain``, that is called at the stop, and its Deferred waited for; if
        it has ``counts``, that is told by ``stats``.
    """

    def __init__(self, endpoint: str, factory: IProtocolFactory, reactor: Any) -> None:
        self.endpoint = endpoint
        self.factory: Any = factory
        self._reactor = reactor
        self._starting: Deferred[Any] | None = None
        self._listening: Any = None

    def privilegedStartService(self) -> Deferred[None]:
        """Listens, while the process may still do what it may not do later.

        :return: a Deferred that fires with None when it listens, or fails with whatever the endpoint's ``listen``
            fails with; with :class:`~twisted.internet.defer.CancelledError` if it is stopped before.
        """
        self._starting = maybeDeferred(self._listen)
        return self._starting.addCallback(self._listens)

    def stopService(self) -> Deferred[None]:
        """Takes no connection any more, and lets those that are there come to their end.

        :return: a Deferred that fires with None when that is done; it does not fail, but logs what does.
        """
        super().stopService()
        if self._listening is None and self._starting is not None:
            self._starting.cancel()
        closing = [maybeDeferred(self._listening.stopListening)] if self._listening is not None else []
        drain = getattr(self.factory, "drain", None)
        draining = [] if drain is None else [maybeDeferred(drain)]
        ended = [one.addErrback(_log_failure) for one in (*closing, *draining)]
        return gatherResults(ended).addCallback(lambda _: None)

    def counts(self) -> dict[str, int]:
        """What ``stats`` tells about it."""
        counts: dict[str, int] = getattr(self.factory, "counts", dict)()
        return counts

    def _listen(self) -> Deferred[Any]:
        endpoint: Any = make_endpoint(self._reactor, self.endpoint)
        listening: Deferred[Any] = endpoint.listen(self.factory)
        return listening

    def _listens(self, listening: Any) -> None:
        self._listening = listening


def _log_failure(failure: Failure) -> None:
    _log.failure("a listener did not stop cleanly", failure)
