"""What a client asks a listener for values, from the call to its one end, floor 3."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Final

from attrs import evolve

from lumina_twisted.client.value_watches import Watch
from lumina_twisted.errors import LineError, RequestError
from lumina_twisted.valueproto import command
from lumina_twisted.valueproto.command import Command
from lumina_twisted.valueproto.command_lines import format_command

_SLACK: Final = 1000
"""Deadlines of ended requests that are kept before they are swept out."""


class ValueRequest:
    """One request.

    :param asked: what is said.
    :param deadline: when its caller stops waiting, on the session's clock.
    :param caller: whatever waits for it; the session does not look at it. None if it is the session's own.
    :param watch: what it begins, if it does.
    """

    __slots__ = ("asked", "caller", "deadline", "done", "number", "sent_at", "tag", "watch")

    def __init__(self, asked: Command, deadline: float, caller: Any, watch: Watch | None = None) -> None:
        self.asked = asked
        self.deadline = deadline
        self.caller = caller
        self.watch = watch
        self.number = 0  # in the order of the calls
        self.tag = ""  # of the attempt that runs
        self.sent_at = 0.0  # of the attempt that runs
        self.done = False

    @property
    def is_own(self) -> bool:
        """Whether no caller waits for it."""
        return self.caller is None

    @property
    def is_read(self) -> bool:
        """Whether it leaves everything as it was, and may be asked again."""
        return not isinstance(self.asked, command.Write) and not getattr(self.asked, "changes", None)


def check_line(asked: Command) -> None:
    """Refuses what no line can say.

    :raises RequestError: if so.
    """
    try:
        format_command(evolve(asked, tag="f" * 8))
    except LineError as error:
        raise RequestError(str(error)) from None


class OpenRequests:
    """The requests that have not ended: with the server, or waiting here."""

    def __init__(self) -> None:
        self.sent: dict[str, ValueRequest] = {}
        """By the tag of the attempt."""
        self._waiting: deque[ValueRequest] = deque()
        self._deadlines: list[tuple[float, int, ValueRequest]] = []
        self._number = 0
        self._tag = 0

    def number(self, request: ValueRequest) -> ValueRequest:
        """One more, in the order of the calls, and its deadline."""
        self._number += 1
        request.number = self._number
        if len(self._deadlines) > 2 * (len(self.sent) + len(self._waiting)) + _SLACK:  # most ended before theirs
            self._deadlines = [one for one in self._deadlines if not one[2].done]
            heapq.heapify(self._deadlines)
        heapq.heappush(self._deadlines, (request.deadline, request.number, request))
        return request

    def wait(self, request: ValueRequest) -> None:
        """It waits until it can be sent."""
        self._waiting.append(request)

    def next_waiting(self) -> ValueRequest | None:
        """The one whose turn it is."""
        return self._waiting.popleft() if self._waiting else None

    def put_back(self, requests: Iterable[ValueRequest]) -> None:
        """They were sent, and wait again in their places."""
        self._waiting = deque(sorted([*requests, *self._waiting], key=lambda one: one.number))

    def begin(self, request: ValueRequest, now: float) -> Command:
        """An attempt: what is to be sent for it."""
        self._tag += 1
        request.tag, request.sent_at = f"{self._tag:x}", now
        self.sent[request.tag] = request
        return evolve(request.asked, tag=request.tag)

    def take(self, request: ValueRequest) -> bool:
        """It has ended; whether it was with the server."""
        if self.sent.pop(request.tag, None) is not None:
            return True
        self._waiting.remove(request)
        return False

    def take_sent(self) -> list[ValueRequest]:
        """All that are with the server, which are not any more."""
        sent, self.sent = list(self.sent.values()), {}
        return sent

    def take_waiting(self) -> list[ValueRequest]:
        """All that wait here, which do not any more."""
        waiting, self._waiting = list(self._waiting), deque()
        return waiting

    def due(self, now: float) -> Iterator[ValueRequest]:
        """Those whose deadline has come."""
        while self._deadlines and (self._deadlines[0][0] <= now or self._deadlines[0][2].done):
            _, _, request = heapq.heappop(self._deadlines)
            if not request.done:
                yield request

    def next_deadline(self) -> float | None:
        """When the next one ends that has not ended."""
        while self._deadlines and self._deadlines[0][2].done:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None
