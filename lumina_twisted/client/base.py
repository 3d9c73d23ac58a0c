"""What the Deferred-returning clients have in common that send frames, floor 3."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger

from lumina_twisted.client.command import CommandFailure, CommandReply, CommandSettings, PendingCommand
from lumina_twisted.client.connecting import ReconnectingClient
from lumina_twisted.client.observers import Observers, Unsubscribe
from lumina_twisted.client.session import Answered, Event, Failed, Session
from lumina_twisted.errors import LuminaError, NotConnected

_log = Logger(namespace="lumina.client")


class Client(ReconnectingClient):
    """A client of one server, and its commands; what it is given is said at
    :class:`~lumina_twisted.client.connecting.ReconnectingClient`."""

    def __init__(
        self, host: str, port: int, session: Callable[[str], Session], *, timeout: float,
        endpoint: IStreamClientEndpoint | None, reactor: Any, now: Callable[[], float],
    ) -> None:
        super().__init__(host, port, session, timeout=timeout, endpoint=endpoint, reactor=reactor, now=now)
        self._observers: Observers[CommandReply | CommandFailure] = Observers(
            lambda _: _log.failure("an observer of commands failed")
        )

    def request(
        self, frame: bytes, port: str, settings: CommandSettings, *, name: str = "", response_length: int = 0
    ) -> Deferred[CommandReply]:
        """Sends a whole RTU frame; ends as :meth:`LuminaModbusClient.send_command` does."""
        if self._closed:
            return fail(NotConnected("this client was closed; make another one"))
        try:
            self._session.check(name, port, settings)
            settings = settings.with_timeout(self.timeout)
        except LuminaError:
            return fail()
        now = self._now()
        assert settings.timeout is not None
        pending = PendingCommand(name, port, frame, settings, now + settings.timeout, None, response_length)
        deferred: Deferred[CommandReply] = Deferred(partial(self._cancelled, pending))
        pending.caller = deferred
        self._start()
        self._session.submit(pending, now)
        self._pump()
        return deferred

    def subscribe(self, observer: Callable[[CommandReply | CommandFailure], object]) -> Unsubscribe:
        """Has ``observer`` called with each command's end, after the caller itself is told. What it raises is logged.

        :return: a function that ends this.
        """
        return self._observers.subscribe(observer)

    def _cancelled(self, pending: PendingCommand, deferred: Deferred[CommandReply]) -> None:
        if (event := self._session.take_event(pending)) is not None:  # it came with the one whose callback cancels this
            self._deliver(event)
        else:
            deferred.errback(self._session.cancel(pending, self._now()))
        self._pump()

    def _deliver(self, event: Event) -> None:
        if isinstance(event, Answered):
            command, answer = event
            reply = CommandReply(
                command.command_id.decode(), command.name, command.port, answer.frame, answer.stamp
            )
            command.caller.callback(reply)
            self._observers.tell(reply)
        elif isinstance(event, Failed):
            command, error = event
            command.caller.errback(error)
            self._observers.tell(CommandFailure(command.command_id.decode(), command.name, command.port, error))
        else:
            deferred: Any = event.caller
            if event.lines:
                deferred.callback(event.lines)
            else:
                deferred.errback(NotConnected(f"the connection to {self._server} was lost"))
