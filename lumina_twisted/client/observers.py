"""Who is told of every command's end, floor 3."""

from __future__ import annotations

from collections.abc import Callable

from lumina_twisted.client.command import CommandFailure, CommandReply

Observer = Callable[[CommandReply | CommandFailure], object]
Unsubscribe = Callable[[], None]


class Observers:
    """Callables that subscribed; one that raises disturbs nobody.

    :param report: called while what an observer raised is being handled.
    """

    def __init__(self, report: Callable[[BaseException], object]) -> None:
        self._report = report
        self._observers: list[Observer] = []

    def subscribe(self, observer: Observer) -> Unsubscribe:
        """Adds one; the function returned takes it away again."""
        self._observers.append(observer)

        def unsubscribe() -> None:
            if observer in self._observers:
                self._observers.remove(observer)

        return unsubscribe

    def tell(self, ended: CommandReply | CommandFailure) -> None:
        """Tells all of them."""
        for observer in tuple(self._observers):
            try:
                observer(ended)
            except Exception as error:
                self._report(error)
