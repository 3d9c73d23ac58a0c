"""RetryManager, in both worlds."""

from __future__ import annotations

import asyncio
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.errors import IllegalDataAddress, OutcomeUnknown, RequestError, ResponseTimeout, ServerDeviceBusy
from lumina_twisted.framing.rtu import encode_adu
from lumina_twisted.helpers import RetryManager
from lumina_twisted.testing import MemoryPort, MemoryServer


class Flaky:
    """Fails so often, then works."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self, value: int = 7) -> Deferred[int]:
        self.calls += 1
        return fail(self.errors.pop(0)) if self.errors else succeed(value)


class WithDeferreds(SynchronousTestCase):
    """Time is a Clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.manager = RetryManager(max_retries=3, backoff_factor=1.5, clock=self.clock)

    def test_first_retry_at_once_then_growing_pauses(self) -> None:
        flaky = Flaky(*[ResponseTimeout("no")] * 3)
        result = self.manager.execute_with_retry(flaky, value=9)
        self.assertEqual(flaky.calls, 2)
        self.clock.advance(0.1)
        self.assertEqual(flaky.calls, 3)
        self.clock.advance(0.149)
        self.assertEqual(flaky.calls, 3)
        self.clock.advance(0.002)
        self.assertEqual(self.successResultOf(result), 9)

    def test_gives_up(self) -> None:
        result = self.manager.execute_with_retry(Flaky(*[ResponseTimeout("no")] * 9))
        self.clock.pump([0.1] * 10)
        self.failureResultOf(result, ResponseTimeout)

    def test_never_again(self) -> None:
        """A write whose outcome is unknown may have been carried out."""
        for error in (OutcomeUnknown("?"), RequestError("wrong"), IllegalDataAddress()):
            flaky = Flaky(error)
            self.failureResultOf(self.manager.execute_with_retry(flaky), type(error))
            self.assertEqual(flaky.calls, 1)
        self.assertEqual(self.successResultOf(self.manager.execute_with_retry(Flaky(ServerDeviceBusy()))), 7)

    def test_plain_values(self) -> None:
        self.assertEqual(self.successResultOf(self.manager.execute_with_retry(lambda: 3)), 3)

    def test_cancelled(self) -> None:
        result = self.manager.execute_with_retry(Flaky(*[ResponseTimeout("no")] * 9))
        result.cancel()
        self.failureResultOf(result, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_call_that_is_cancelled_is_not_made_again(self) -> None:
        calls: list[Deferred[int]] = []

        def function() -> Deferred[int]:
            calls.append(Deferred())
            return calls[-1]

        for retry_on in (RetryManager(clock=self.clock)._retry_on, lambda error: True):
            result = RetryManager(retry_on=retry_on, clock=self.clock).execute_with_retry(function)
            result.cancel()
            self.failureResultOf(result, CancelledError)
        self.clock.pump([0.1] * 10)
        self.assertEqual(len(calls), 2)

    def test_as_the_mission_prints_it(self) -> None:
        """``await retry_manager.execute_with_retry(client.send_command, command_data)``."""
        port = MemoryPort()
        port.script = [None, encode_adu(1, b"\x03\x02\x00\x07")]
        client = MemoryServer(port).client()
        retry_manager = RetryManager(max_retries=3, backoff_factor=1.5)
        command_data = {"name": "x", "port": "boiler", "command": bytes.fromhex("010300000001")}

        async def program() -> Any:
            result = await retry_manager.execute_with_retry(client.send_command, command_data)
            return result  # noqa: RET504 - as it is printed

        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(program())).pdu.hex(), "03020007")


class WithAsyncio(SynchronousTestCase):
    """The same call in an asyncio task."""

    def test_retries(self) -> None:
        calls = []

        async def flaky(value: int) -> int:
            calls.append(value)
            if len(calls) < 3:
                raise ConnectionError
            return value

        async def main() -> Any:
            return await RetryManager(initial_delay=0.001).execute_with_retry(flaky, 5)

        self.assertEqual((asyncio.run(main()), calls), (5, [5, 5, 5]))

    def test_a_deferred_in_a_task(self) -> None:
        """As a program has it that runs Twisted on asyncio's loop."""
        calls: list[Deferred[int]] = []

        def function() -> Deferred[int]:
            calls.append(Deferred())
            end = calls[-1].callback if len(calls) > 1 else calls[-1].errback
            asyncio.get_running_loop().call_soon(end, 8 if len(calls) > 1 else ResponseTimeout("no"))
            return calls[-1]

        async def main() -> Any:
            return await RetryManager(initial_delay=0.001).execute_with_retry(function)

        self.assertEqual((asyncio.run(main()), len(calls)), (8, 2))
