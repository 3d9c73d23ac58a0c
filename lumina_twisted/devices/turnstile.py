"""How many values are asked for one client at a time, floor 4.

Twisted's ``DeferredSemaphore`` begins the next one on the stack of the one that ended. Where hundreds end at once, for
a unit is offline or their time is over, the stack ends, and they are never answered.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred

T = TypeVar("T")


class Turns:
    """Begins in order what is to be done, so many at a time.

    :param most: how many.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._running = 0
        self._waiting: OrderedDict[Deferred[Any], None] = OrderedDict()
        self._is_beginning = False

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def run(self, begin: Callable[..., Deferred[T]], *args: Any) -> Deferred[T]:
        """Calls ``begin`` when its turn has come.

        :return: a Deferred that ends as that of ``begin``, or fails with what that raises. Cancelling it gives its turn
            away.
        """
        turn: Deferred[Any] = Deferred(self._give_up)
        turn.addCallback(lambda _: self._begin(begin, args))
        self._waiting[turn] = None
        self._advance()
        return turn

    def cancel(self) -> None:
        """Gives away all turns that have not come."""
        for turn in list(self._waiting):
            turn.cancel()

    def _give_up(self, turn: Deferred[Any]) -> None:
        self._waiting.pop(turn, None)

    def _begin(self, begin: Callable[..., Deferred[T]], args: tuple[Any, ...]) -> Deferred[T]:
        self._running += 1
        return maybeDeferred(begin, *args).addBoth(self._end)

    def _end(self, result: Any) -> Any:
        self._running -= 1
        self._advance()
        return result

    def _advance(self) -> None:
        if self._is_beginning:  # what begins below may end before it returns
            return
        self._is_beginning = True
        try:
            while self._waiting and self._running < self._most:
                self._waiting.popitem(last=False)[0].callback(None)
        finally:
            self._is_beginning = False
