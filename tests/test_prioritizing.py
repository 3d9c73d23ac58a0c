"""CommandPrioritizer, in both worlds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.bus.queue import AGEING, RequestQueue
from lumina_twisted.errors import QueueFull, RequestError
from lumina_twisted.helpers import CommandPrioritizer
from lumina_twisted.priority import PRIORITIES


class WithDeferreds(SynchronousTestCase):
    """Time is a Clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.prioritizer = CommandPrioritizer(now=self.clock.seconds)

    def put(self, priority: Any, *commands: Any, client: Any = None) -> None:
        for command in commands:
            self.assertIsNone(self.successResultOf(self.prioritizer.enqueue_command(priority, command, client)))

    def taken(self, number: int = 1) -> list[Any]:
        """What the next ones are given."""
        return [self.successResultOf(self.prioritizer.get_next_command()) for _ in range(number)]

    def test_as_the_mission_prints_it(self) -> None:
        """But for its imports."""
        prioritizer = CommandPrioritizer()
        command_data = {"name": "x", "port": "boiler", "command": bytes.fromhex("010300000001")}

        async def program() -> Any:
            await prioritizer.enqueue_command("high", command_data)
            next_command = await prioritizer.get_next_command()
            return next_command  # noqa: RET504 - as it is printed

        self.assertIs(self.successResultOf(Deferred.fromCoroutine(program())), command_data)
        self.assertIs(asyncio.run(program()), command_data)

    def test_it_is_the_ports_queue(self) -> None:
        self.assertIsInstance(self.prioritizer._queue, RequestQueue)

    def test_high_first_then_in_their_order(self) -> None:
        self.put("low", "l1", "l2")
        self.put("normal", "n1", "n2")
        self.put("high", "h1", "h2")
        self.assertEqual(len(self.prioritizer), 6)
        self.assertEqual(self.taken(6), ["h1", "h2", "n1", "n2", "l1", "l2"])
        self.assertEqual(len(self.prioritizer), 0)

    @given(st.lists(st.sampled_from((*PRIORITIES, None))))
    def test_any_order(self, steps: list[Any]) -> None:
        """None takes one."""
        self.setUp()
        model: list[tuple[int, int]] = []
        for number, step in enumerate(steps):
            if step is not None:
                model.append((PRIORITIES.index(step), number))
                self.put(step, model[-1])
            elif model:
                model.sort()
                self.assertEqual(self.taken(), [model.pop(0)])
        self.assertEqual(self.taken(len(model)), sorted(model))

    def test_what_waits_long_rises(self) -> None:
        self.put("low", "old")
        self.clock.advance(AGEING + 0.1)
        self.put("normal", "new")
        self.assertEqual(self.taken(2), ["old", "new"])
        self.put("low", "young")
        self.clock.advance(AGEING - 0.1)
        self.put("normal", "newer")
        self.assertEqual(self.taken(2), ["newer", "young"])

    def test_clients_take_turns(self) -> None:
        self.put("normal", "a1", "a2", "a3", client="a")
        self.put("normal", "b1", client="b")
        self.assertEqual(self.taken(4), ["a1", "b1", "a2", "a3"])

    def test_no_such_priority(self) -> None:
        for wrong in ("urgent", "HIGH", 0, ""):
            failed = self.failureResultOf(self.prioritizer.enqueue_command(wrong, "x"), RequestError)  # type: ignore[arg-type]
            self.assertIn("one of high, normal, low", failed.getErrorMessage())
        self.assertEqual(len(self.prioritizer), 0)

    def test_full(self) -> None:
        self.prioritizer = CommandPrioritizer(2, 1, now=self.clock.seconds)
        self.put("low", "a", client="a")
        self.failureResultOf(self.prioritizer.enqueue_command("high", "a2", "a"), QueueFull)
        self.put("low", "b", client="b")
        failed = self.failureResultOf(self.prioritizer.enqueue_command("high", "c", "c"), QueueFull)
        self.assertIn("2 commands wait already; take some", failed.getErrorMessage())
        self.assertEqual(self.taken(2), ["a", "b"])
        self.put("low", "d", client="a")
        for limits in ((0,), (1, 0)):
            self.assertRaises(ValueError, CommandPrioritizer, *limits)

    def test_takers_wait_in_order(self) -> None:
        first, second = self.prioritizer.get_next_command(), self.prioritizer.get_next_command()
        self.put("low", 1)
        self.assertEqual(self.successResultOf(first), 1)
        self.assertNoResult(second)
        self.put("high", 2)
        self.assertEqual(self.successResultOf(second), 2)

    def test_cancelled_takers_take_nothing(self) -> None:
        first, second = self.prioritizer.get_next_command(), self.prioritizer.get_next_command()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.put("low", 1)
        self.assertEqual(self.successResultOf(second), 1)
        self.put("low", 2)
        self.assertEqual(self.taken(), [2])

    def test_who_takes_again_at_once(self) -> None:
        found: list[Any] = []

        def take(command: Any = None) -> None:
            found.append(command)
            self.prioritizer.get_next_command().addCallback(take)

        take()
        self.put("low", 1, 2, 3)
        self.assertEqual(found, [None, 1, 2, 3])

    def test_many_clients_leave_nothing_behind(self) -> None:
        for number in range(100):
            self.put("normal", number, client=number)
            self.taken()
        self.assertLess(len(self.prioritizer._queue._clients), 3)


Program = Callable[[CommandPrioritizer], Awaitable[Any]]


class WithAsyncio(SynchronousTestCase):
    """The same calls in tasks."""

    def run_with(self, program: Program) -> Any:
        return asyncio.run(asyncio.wait_for(program(CommandPrioritizer()), 10))  # type: ignore[arg-type]

    def test_order_and_waiting(self) -> None:
        async def program(prioritizer: CommandPrioritizer) -> Any:
            takers = [asyncio.create_task(prioritizer.get_next_command()) for _ in range(3)]
            await asyncio.sleep(0)
            for priority, command in (("low", 1), ("high", 2), ("normal", 3), ("normal", 4)):
                await prioritizer.enqueue_command(priority, command)  # type: ignore[arg-type]
            return [*await asyncio.gather(*takers), await prioritizer.get_next_command(), len(prioritizer)]

        self.assertEqual(self.run_with(program), [2, 3, 4, 1, 0])

    def test_first_come_first_given(self) -> None:
        """Who comes when others have been told of what there is waits behind them."""

        async def program(prioritizer: CommandPrioritizer) -> Any:
            given: list[Any] = []

            async def take(name: str) -> None:
                given.append((name, await prioritizer.get_next_command()))

            first = asyncio.create_task(take("first"))
            await asyncio.sleep(0)
            prioritizer.enqueue_command("low", 1)
            asyncio.get_running_loop().call_soon(prioritizer.enqueue_command, "low", 2)
            await take("second")
            await first
            return given

        self.assertEqual(self.run_with(program), [("first", 1), ("second", 2)])

    def test_errors(self) -> None:
        async def program(prioritizer: CommandPrioritizer) -> None:
            with self.assertRaises(RequestError):
                await prioritizer.enqueue_command("urgent", 1)  # type: ignore[arg-type]

        self.run_with(program)

    def test_cancelled_whenever(self) -> None:
        """Before it is told, after it, and before the task that was told goes on: no command is lost."""

        async def program(prioritizer: CommandPrioritizer) -> None:
            for told_first in (False, True):
                doomed = asyncio.create_task(prioritizer.get_next_command())
                other = asyncio.create_task(prioritizer.get_next_command())
                await asyncio.sleep(0)
                if told_first:
                    prioritizer.enqueue_command("normal", 1)
                    doomed.cancel()
                else:
                    doomed.cancel()
                    prioritizer.enqueue_command("normal", 1)
                self.assertEqual(await other, 1)
                self.assertTrue(doomed.cancelled())
                self.assertEqual((len(prioritizer), prioritizer._promised, len(prioritizer._takers)), (0, 0, 0))

        self.run_with(program)

    def test_cancelled_and_nobody_else(self) -> None:
        async def program(prioritizer: CommandPrioritizer) -> Any:
            doomed = asyncio.create_task(prioritizer.get_next_command())
            await asyncio.sleep(0)
            prioritizer.enqueue_command("normal", 1)
            doomed.cancel()
            await asyncio.gather(doomed, return_exceptions=True)
            return await prioritizer.get_next_command()

        self.assertEqual(self.run_with(program), 1)

    def test_time_limit(self) -> None:
        async def program(prioritizer: CommandPrioritizer) -> Any:
            with self.assertRaises(TimeoutError):
                await asyncio.wait_for(prioritizer.get_next_command(), 0.001)
            self.assertEqual(len(prioritizer._takers), 0)
            prioritizer.enqueue_command("low", 1)
            return await prioritizer.get_next_command()

        self.assertEqual(self.run_with(program), 1)
