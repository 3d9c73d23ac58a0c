"""So many at a time, the others in their order, floor 3.

Twisted's ``DeferredLock`` and ``DeferredSemaphore`` begin the next one on the stack of the one that ended. Where
hundreds end at once, for a unit is offline, their time is over or the service stops, the stack ends, and they never do.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred

T = TypeVar("T")


class Turnstile:
    """Lets so many in at a time.

    :param most: how many.
    """

    def __init__(self, most: int = 1) -> None:
        self._most = most
        self._inside = 0
        self._waiting: OrderedDict[Deferred[None], None] = OrderedDict()
        self._is_advancing = False

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def is_empty(self) -> bool:
        """Whether nobody is in, and nobody waits."""
        return not self._inside and not self._waiting

    def run(self, work: Callable[..., Deferred[T]], *args: Any) -> Deferred[T]:
        """Calls ``work`` when its turn has come; the next one's comes when its Deferred has ended.

        :return: a Deferred that ends as that of ``work``, or fails with what that raises. Cancelling it gives the turn
            away, or cancels the work.
        """
        return self.acquire().addCallback(lambda _: maybeDeferred(work, *args).addBoth(self._release_and_return))

    def acquire(self) -> Deferred[None]:
        """A Deferred that fires with None when one is let in, who then calls :meth:`release`. Cancelling it gives the
        turn away."""
        turn: Deferred[None] = Deferred(lambda gone: self._waiting.pop(gone, None))
        self._waiting[turn] = None
        self._advance()
        return turn

    def release(self) -> None:
        """One leaves."""
        self._inside -= 1
        self._advance()

    def cancel(self) -> None:
        """Cancels all that wait."""
        for turn in list(self._waiting):
            turn.cancel()

    def _release_and_return(self, result: Any) -> Any:
        self.release()
        return result

    def _advance(self) -> None:
        if self._is_advancing:  # one that is let in below may leave before that returns
            return
        self._is_advancing = True
        try:
            while self._waiting and self._inside < self._most:
                self._inside += 1
                self._waiting.popitem(last=False)[0].callback(None)
        finally:
            self._is_advancing = False
