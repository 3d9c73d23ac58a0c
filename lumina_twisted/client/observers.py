"""Who is told what happens, floor 3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

Told = TypeVar("Told")
Unsubscribe = Callable[[], None]


class Observers(Generic[Told]):
    """Callables that subscribed; one that raises disturbs nobody.

    :param report: called while what an observer raised is being handled.
    """

    def __init__(self, report: Callable[[BaseException], object]) -> None:
        self._report = report
        self._observers: list[Callable[[Told], object]] = []

    def subscribe(self, observer: Callable[[Told], object]) -> Unsubscribe:
        """Adds one; the function returned takes it away again."""
        self._observers.append(observer)

        def unsubscribe() -> None:
            if observer in self._observers:
                self._observers.remove(observer)

        return unsubscribe

    def tell(self, what: Told) -> None:
        """Tells all of them."""
        for observer in tuple(self._observers):
            try:
                observer(what)
            except Exception as error:
                self._report(error)
