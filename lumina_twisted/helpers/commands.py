"""Helpers for the commands of a program. Floor 4.

``CommandValidator`` checks commands by the same rules as a port (M14). ``CommandPrioritizer`` queues them as a port
does (M12). ``RetryManager`` repeats them with the same pauses as a bus (M11).

A program can await their results in asyncio and in Twisted: in an asyncio task they are asyncio futures, anywhere else
Deferreds.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import count
from typing import Any, Final

from attrs import define, frozen
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import deferLater

from lumina_twisted.access.rules import Rules, parse_rule
from lumina_twisted.awaiting import awaitable, in_asyncio_task, in_callers_world
from lumina_twisted.bus.queue import RequestQueue
from lumina_twisted.bus.settings import Backoff
from lumina_twisted.errors import (
    Acknowledge,
    Cancelled,
    ConfigError,
    FrameError,
    LuminaError,
    ModbusException,
    NotAllowed,
    OutcomeUnknown,
    QueueFull,
    RequestError,
    ServerDeviceBusy,
)
from lumina_twisted.framing.crc import append_crc, crc_ok, without_crc
from lumina_twisted.framing.rtu import OVERHEAD, check_request_frame, decode_adu
from lumina_twisted.modbus.functions import request_length
from lumina_twisted.modbus.pdu import decode_request
from lumina_twisted.priority import Priority, lane_of

_PORTS: Final = 256
"""How many ports' rules are cached."""


@frozen
class _Pattern:
    text: str
    port: str
    deny: bool


class CommandValidator:
    """Checks whether commands are well formed, and whether the registered patterns allow them. Without a pattern every
    well-formed command passes. In the service, the settings ``allow`` and ``deny`` of a port hold such patterns."""

    def __init__(self) -> None:
        self._patterns: list[_Pattern] = []
        self._rules_for = lru_cache(_PORTS)(self._make_rules)

    def register_pattern(self, pattern: str, port: str = "*", deny: bool = False) -> None:
        """Adds a rule.

        :param pattern: as ``read * holding 0-99``, ``write 2 coil 0-7,16``, ``write * holding 100-199 0-500``,
            ``any 1-20`` or ``function 43 *``; see :mod:`lumina_twisted.access.rules`.
        :param port: the ports that the rule is for: a name or path, with the wildcards ``*`` and ``?``.
        :param deny: whether the rule forbids. If a port has patterns that allow, only what they allow passes.
        :raises RequestError: if the pattern is no rule, with a sentence that says what to write.
        """
        parse_rule(pattern)
        self._patterns.append(_Pattern(pattern, port, deny))
        self._rules_for.cache_clear()

    def validate_command(self, command_data: Any, port: str = "") -> Any:
        """Whether a command may be sent. :meth:`fault` says why not, and describes the parameters.

        :return: an awaitable that gives True or False, and does not fail.
        """
        return in_callers_world(succeed(self.fault(command_data, port) is None))

    def fault(self, command_data: Any, port: str = "") -> str | None:
        """Why a command may not be sent, as a sentence; None if it may.

        :param command_data: unit and PDU as bytes or as hexadecimal digits, with the CRC or without it; or the mapping
            that a client's ``send_command`` takes, whose ``command`` holds these bytes or digits.
        :param port: name or path of the command's port, unless the mapping has a ``port``. Patterns for certain ports
            do not apply to a command without a port.
        """
        try:
            if isinstance(command_data, Mapping):
                port = command_data.get("port", port)
                command_data = command_data.get("command")
            unit, pdu = _request_of(command_data)
            decode_request(pdu)
        except LuminaError as error:
            return str(error)
        fault = self._rules_for(str(port)).fault(unit, pdu)
        return (f"not on {port}, {fault}" if port else fault) if fault else None

    def _make_rules(self, port: str) -> Rules:
        held = [one for one in self._patterns if fnmatchcase(port, one.port)]
        return Rules((one.text for one in held if not one.deny), (one.text for one in held if one.deny))


def _request_of(command: Any) -> tuple[int, bytes]:
    """The unit and the PDU of a request.

    :raises LuminaError: if the command is no request.
    """
    frame = _octets(command)
    if len(frame) < 2:
        raise RequestError(f"a command has a unit and a function code at least, not {len(frame)} bytes")
    try:
        check_request_frame(frame)
    except FrameError:
        if len(frame) > OVERHEAD and request_length(frame, 1) == len(frame) - OVERHEAD and not crc_ok(frame):
            repaired = append_crc(without_crc(frame))
            unit, pdu = decode_adu(repaired)
            wrong, right = (one[-2:].hex().upper() for one in (frame, repaired))
            raise FrameError(
                f"wrong CRC {wrong}, the right one of the bytes before it is {right}; it may be left out",
                unit=unit, function_code=pdu[0], frame=frame,
            ) from None
        frame = append_crc(frame)
        check_request_frame(frame)
    return decode_adu(frame)


def _octets(command: Any) -> bytes:
    try:
        if isinstance(command, str):
            return bytes.fromhex(command)
        if isinstance(command, bytes | bytearray | memoryview):
            return bytes(command)
    except ValueError:
        pass
    raise RequestError(f"a command is bytes or hexadecimal digits, two a byte, not {str(command)[:40]!r}")


_COST: Final = 1.0
"""The cost of each turn, because nobody here knows how long a command takes. It is not 0, because the queue keeps a
client that had a free turn."""


@define(eq=False)
class _Command:
    """An item of the queue. A port's queue keeps the order of the requests to one unit. Here nobody knows the unit of a
    command, so each command has a ``unit`` of its own. Then only lanes, ages and turns count."""

    data: Any
    caller: Hashable
    unit: int
    lane: int
    arrived: float
    cost: float = 0.0


class CommandPrioritizer:
    """Queues commands in three lanes. A command in a higher lane is taken first, and a command that waits long rises to
    the next lane. Within a lane clients take turns; see :mod:`lumina_twisted.bus.queue`.

    An asyncio task may be cancelled after it was notified of a command. So in a task, a command leaves the queue only
    in the step in which the task resumes.

    :param limit: how many commands may wait.
    :param limit_per_client: how many commands of one client may wait; ``limit`` if it is not given.
    :param now: a clock that never goes back, in seconds.
    :raises ValueError: if a limit is less than 1.
    """

    def __init__(
        self, limit: int = 1000, limit_per_client: int | None = None, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        limit_per_client = limit if limit_per_client is None else limit_per_client
        if limit < 1 or limit_per_client < 1:
            raise ValueError("limit and limit_per_client are 1 or more")
        self._queue: RequestQueue[_Command] = RequestQueue(limit, limit_per_client)
        self._now = now
        self._units = count(1)  # 0 would be a broadcast
        self._takers: deque[Deferred[Any] | asyncio.Future[None]] = deque()
        self._promised = 0
        """Tasks that were notified of a command, and have not taken it yet."""

    def __len__(self) -> int:
        """How many wait."""
        return len(self._queue)

    def enqueue_command(self, priority: Priority, data: Any, client: Hashable = None) -> Any:
        """Puts a command into the queue, at once.

        :param data: the value that :meth:`get_next_command` gives for this command.
        :param client: whose command it is, if several clients take turns.
        :return: an awaitable that gives None, or fails with :class:`~lumina_twisted.errors.RequestError` (there is no
            such priority) or :class:`~lumina_twisted.errors.QueueFull`. If it fails, the command is not in the queue.
        """
        try:
            now = self._now()
            command = _Command(data, client, next(self._units), lane_of(priority), now)
            self._queue.put(command, now)
        except QueueFull:
            waiting = f"{len(self._queue)} commands wait already"
            return _ended(QueueFull(f"{waiting}; take some, or raise limit or limit_per_client"))
        except LuminaError as error:
            return _ended(error)
        self._notify_takers()
        return _ended()

    def get_next_command(self) -> Any:
        """Takes the command whose turn it is.

        :return: an awaitable that gives the command's data as soon as there is a command. The caller that has waited
            longest is served first. A cancelled call takes no command. In an asyncio task the awaitable is a coroutine,
            which begins when it is awaited.
        """
        if in_asyncio_task():
            return self._next_in_task()
        if self._has_spare:
            return succeed(self._take())
        taker: Deferred[Any] = Deferred(self._takers.remove)
        self._takers.append(taker)
        return taker

    @property
    def _has_spare(self) -> bool:
        return len(self._queue) > self._promised

    def _take(self) -> Any:
        now = self._now()
        command, _ = self._queue.first(now, lambda _: -math.inf)
        assert command is not None, "there is one"
        self._queue.take(command)
        self._queue.charge(command.caller, _COST, now)
        return command.data

    def _notify_takers(self) -> None:
        while self._takers and self._has_spare:
            taker = self._takers.popleft()
            if isinstance(taker, Deferred):
                taker.callback(self._take())
            elif not taker.done():  # otherwise it was cancelled a moment ago
                self._promised += 1
                taker.set_result(None)

    async def _next_in_task(self) -> Any:
        if not self._has_spare:
            taker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._takers.append(taker)
            try:
                await taker
            except BaseException:
                self._withdraw(taker)
                raise
            self._promised -= 1
        return self._take()

    def _withdraw(self, taker: asyncio.Future[None]) -> None:
        """The task of ``taker`` was cancelled. If it was notified of a command, the next taker gets that command."""
        if taker in self._takers:
            self._takers.remove(taker)
        elif not taker.cancelled():
            self._promised -= 1
            self._notify_takers()


def _ended(error: LuminaError | None = None) -> Any:
    """An awaitable that has ended already: a future in an asyncio task, a Deferred anywhere else."""
    return in_callers_world(succeed(None) if error is None else fail(error))


_FINAL = (OutcomeUnknown, RequestError, ConfigError, Cancelled, NotAllowed)
"""Errors after which a retry would be dangerous or useless."""


def worth_retrying(error: Exception) -> bool:
    """Whether to try again after ``error``. The answer is no if a write may have been carried out, if the caller is at
    fault, or if the device refused. It is yes if the device is busy, and after any other error."""
    if isinstance(error, ModbusException):
        return isinstance(error, ServerDeviceBusy | Acknowledge)
    return not isinstance(error, _FINAL)


class RetryManager:
    """Calls a function until it succeeds, with pauses that grow.

    :param max_retries: how many calls may follow the first one.
    :param backoff_factor: the factor by which each pause grows.
    :param initial_delay: seconds of the pause before the second retry; the first retry follows at once.
    :param retry_on: takes an error, and says whether to try again.
    :param clock: makes the pauses outside asyncio; the program's own reactor if it is not given.
    """

    def __init__(
        self, max_retries: int = 3, backoff_factor: float = 1.5, initial_delay: float = 0.1, *,
        retry_on: Callable[[Exception], bool] = worth_retrying, clock: Any = None,
    ) -> None:
        if max_retries < 0 or backoff_factor < 1 or initial_delay < 0:
            raise ValueError("max_retries and initial_delay are 0 or more, and backoff_factor is 1 or more")
        self.max_retries = max_retries
        self._backoff = Backoff(initial_delay, backoff_factor)
        self._retry_on = retry_on
        self._clock = clock

    def execute_with_retry(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Calls ``function`` with the other arguments. It may return a value, a Deferred or an awaitable.

        :return: an awaitable that gives the function's result, or fails with its last error. It fails at once if
            ``retry_on`` refuses the error. Cancelling the awaitable cancels the running call or pause.
        """
        pause = asyncio.sleep if in_asyncio_task() else self._pause
        return in_callers_world(self._run(function, args, kwargs, pause))

    async def _run(
        self, function: Callable[..., Any], args: Any, kwargs: Any, pause: Callable[[float], Awaitable[Any]]
    ) -> Any:
        attempts = 0
        while True:
            attempts += 1
            try:
                result = function(*args, **kwargs)
                return await awaitable(result) if isinstance(result, Awaitable) else result
            except (CancelledError, Cancelled):
                raise  # the caller cancelled it, and wants no retry
            except Exception as error:
                if attempts > self.max_retries or not self._retry_on(error):
                    raise
            if delay := self._backoff.delay(attempts):
                await pause(delay)

    def _pause(self, seconds: float) -> Deferred[None]:
        if self._clock is None:
            from twisted.internet import reactor

            self._clock = reactor
        return deferLater(self._clock, seconds)
