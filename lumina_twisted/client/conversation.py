"""What a client needs of whatever it says over its connection, floor 3: bytes and ``now`` go in, bytes and events come
out."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol


class Unusable(NamedTuple):
    """The connection must be cut: its far end is dead or no server, and the sentence says why."""

    why: str


class Conversation(Protocol):
    """One client's conversation with a server, over one connection after the other."""

    def connected(self, now: float) -> None:
        """There is a connection, and nothing has been said on it."""
        ...

    def connection_lost(self, why: str, now: float) -> None:
        """There is none, or none could be made; the sentence says why."""
        ...

    def close(self, now: float) -> None:
        """Ends everything that is open."""
        ...

    def receive_data(self, data: bytes, now: float) -> None:
        """Bytes came from the server."""
        ...

    def handle_timer(self, now: float) -> None:
        """The time of :meth:`get_timer` has come."""
        ...

    def get_timer(self) -> float | None:
        """When :meth:`handle_timer` wants to be called."""
        ...

    def data_to_send(self) -> bytes:
        """What the server is to be told; empty if nothing, or if there is no connection."""
        ...

    def next_event(self) -> Any:
        """What has happened, one by one; None if nothing has. :class:`Unusable` is one of these."""
        ...


class Pump:
    """Drives a conversation over whatever connection there is; what both faces of the client have in common.

    A subclass has a ``_transport`` while there is a connection, and says how that is cut and how it is timed.
    """

    _session: Any
    _transport: Any = None

    def _pump(self) -> None:
        """Takes from the conversation what came of the last call; a callback may ask for more and pump in turn."""
        if self._transport is not None and (data := self._session.data_to_send()):
            self._transport.write(data)
        while (event := self._session.next_event()) is not None:
            if isinstance(event, Unusable):
                self._cut(event.why)
            else:
                self._deliver(event)
        self._set_timer()

    def _cut(self, why: str) -> None:
        if self._transport is not None:
            transport = self._transport
            self._on_lost(why)
            self._abort(transport)

    def _deliver(self, event: Any) -> None:
        """Tells whoever waits for it what the conversation brought."""
        raise NotImplementedError

    def _on_lost(self, why: str) -> None:
        """The connection is gone; the sentence says why."""
        raise NotImplementedError

    def _abort(self, transport: Any) -> None:
        """Cuts a connection."""
        raise NotImplementedError

    def _set_timer(self) -> None:
        """Has the conversation called when it wants to be."""
        raise NotImplementedError


class LineBuffer:
    """Bytes as lines.

    :param most: bytes that the beginning of a line may have.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._rest = b""

    def clear(self) -> None:
        """A new connection begins with a new line."""
        self._rest = b""

    def lines(self, data: bytes) -> list[bytes]:
        """Those that end in ``data``, without their newlines."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines

    def overflows(self) -> bool:
        """Whether the line that has begun is too long; it is forgotten then."""
        if len(self._rest) <= self._most:
            return False
        self.clear()
        return True
