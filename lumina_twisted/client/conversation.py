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
