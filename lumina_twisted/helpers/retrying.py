"""Trying again with growing pauses, floor 2: the mission's ``RetryManager`` (M11) over the bus's own backoff rule.

It is awaitable in both worlds: called from an asyncio task it gives an asyncio future, anywhere else a Deferred.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from lumina_twisted.awaiting import awaitable, in_asyncio_task, in_callers_world
from lumina_twisted.bus.retry import Backoff
from lumina_twisted.errors import (
    Acknowledge,
    Cancelled,
    ConfigError,
    ModbusException,
    NotAllowed,
    OutcomeUnknown,
    RequestError,
    ServerDeviceBusy,
)

_FINAL = (OutcomeUnknown, RequestError, ConfigError, Cancelled, NotAllowed)
"""To repeat these would be dangerous, or in vain."""


def worth_retrying(error: Exception) -> bool:
    """Whether to try again after ``error``: not when a write may have been carried out, when the caller is at fault, or
    when the device refused; yes when it is busy, and after anything else."""
    if isinstance(error, ModbusException):
        return isinstance(error, ServerDeviceBusy | Acknowledge)
    return not isinstance(error, _FINAL)


class RetryManager:
    """Calls a function until it succeeds, with pauses that grow.

    :param max_retries: how often it is called again after the first time.
    :param backoff_factor: by what each pause grows.
    :param initial_delay: seconds of the pause before the second retry; the first follows at once.
    :param retry_on: says of an error whether to try again.
    :param clock: for the pauses, outside asyncio; the program's own reactor if it is not given.
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
        """Calls ``function`` with what follows it; it may return a value, a Deferred or an awaitable.

        :return: something to await: it gives what the function gave, or fails with its last error, at once if that is
            not to be tried again. Cancelling it cancels the call or the pause that runs.
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
                raise  # whoever took it back wants no more of it
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
