"""What becomes of a client of which nothing is read, floor 4.

The reactor notices a loss only when it reads or writes. So while a client is held, somebody looks whether its
connection still exists, and whether it takes the answers that wait for it.
"""

from __future__ import annotations

import select
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall

LOOK_EVERY: Final = 1.0
"""Seconds between two looks."""
STALLED_AFTER: Final = 30.0
"""Seconds after which a client is dropped that has more to ask and does not take its answers."""


class Holding:
    """Looks after one client. One delayed call serves many short holds.

    :param client: a :class:`lumina_twisted.frontends.listener.Connection`.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._call: IDelayedCall | None = None
        self._full_since: float | None = None

    def begin(self) -> None:
        """Nothing is read of it from now on."""
        if self._call is None:
            self._call = self._client.listener.clock.callLater(LOOK_EVERY, self._look)

    def moved(self) -> None:
        """It has taken all that was written."""
        self._full_since = None

    def stop(self) -> None:
        """It is gone."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _look(self) -> None:
        self._call = None
        client = self._client
        if not client.is_held:
            self._full_since = None
            return
        if is_lost(client.transport):
            client.cut()
        elif client.is_full and self._is_stalled(client.listener):
            client.drop()
        else:
            self.begin()

    def _is_stalled(self, listener: Any) -> bool:
        now = listener.now()
        if self._full_since is None:
            self._full_since = now
        return bool(now - self._full_since >= listener.stalled_after)


def is_lost(transport: Any) -> bool:
    """Whether a connection was reset or broke, which its transport has not noticed. One whose client has only ended its
    own side, as ``printf … | nc`` does, is not lost."""
    descriptor = getattr(transport, "fileno", lambda: -1)()
    if descriptor < 0:
        return False
    poll = select.poll()
    poll.register(descriptor, 0)  # what is broken is told all the same
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
