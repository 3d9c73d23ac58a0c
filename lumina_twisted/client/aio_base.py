"""What the clients for asyncio programs have in common that send frames, floor 3."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lumina_twisted.client.aio_connecting import ReconnectingClient, loop_time, report, settle
from lumina_twisted.client.command import CommandFailure, CommandReply, CommandSettings, PendingCommand
from lumina_twisted.client.observers import Observers, Unsubscribe
from lumina_twisted.client.session import Answered, Event, Failed, Session
from lumina_twisted.errors import NotConnected


class Client(ReconnectingClient):
    """A client of one server, and its commands; what it is given is said at
    :class:`~lumina_twisted.client.aio_connecting.ReconnectingClient`."""

    def __init__(self, host: str, port: int, session: Callable[[str], Session], *, timeout: float) -> None:
        super().__init__(host, port, session, timeout=timeout)
        self._observers: Observers[CommandReply | CommandFailure] = Observers(report("an observer of commands failed"))

    async def request(
        self, frame: bytes, port: str, settings: CommandSettings, *, name: str = "", response_length: int = 0
    ) -> CommandReply:
        """Sends a whole RTU frame; ends as :meth:`LuminaModbusClient.send_command` does. Cancelling it lets the caller
        go at once."""
        self._stay_in_loop()
        if self._closed:
            raise NotConnected("this client was closed; make another one")
        self._session.check(name, port, settings)
        now, settings = loop_time(), settings.with_timeout(self.timeout)
        assert settings.timeout is not None
        future: asyncio.Future[CommandReply] = asyncio.get_running_loop().create_future()
        pending = PendingCommand(name, port, frame, settings, now + settings.timeout, future, response_length)
        self._start()
        self._session.submit(pending, now)
        self._pump()
        try:
            return await future
        finally:
            if not pending.done:
                self._session.cancel(pending, loop_time())

    def subscribe(self, observer: Callable[[CommandReply | CommandFailure], object]) -> Unsubscribe:
        """Has ``observer`` called with each command's end; what it raises is logged. The function returned ends it."""
        return self._observers.subscribe(observer)

    def _deliver(self, event: Event) -> None:
        if isinstance(event, Answered):
            command, answer = event
            reply = CommandReply(
                command.command_id.decode(), command.name, command.port, answer.frame, answer.stamp
            )
            settle(command.caller, reply)
            self._observers.tell(reply)
        elif isinstance(event, Failed):
            command, error = event
            settle(command.caller, error)
            self._observers.tell(CommandFailure(command.command_id.decode(), command.name, command.port, error))
        else:
            lost = NotConnected(f"the connection to {self._server} was lost; is it a Lumina server?")
            settle(event.caller, event.lines or lost)
