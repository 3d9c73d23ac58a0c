"""Both faces of the client of values, with the real front-end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.client import (
    LuminaModbusClient,
    LuminaValuesClient,
    Quality,
    ValueReading,
    aio,
)
from lumina_twisted.client.unit_methods import Operation
from lumina_twisted.client.value_methods import ValuesClient
from lumina_twisted.client.value_watches import value_text
from lumina_twisted.errors import (
    Cancelled,
    ConfigError,
    IllegalDataAddress,
    NotConnected,
    NotTaken,
    NotWritable,
    OutcomeUnknown,
    RequestError,
    ResponseTimeout,
    ServerError,
    UnknownName,
)
from lumina_twisted.valueproto.reading import Confirmed, Reading
from tests.values_listener import ValuesCase


class Deferreds(ValuesCase):
    """The face for Twisted programs."""

    def setUp(self) -> None:
        super().setUp()
        self.client = LuminaValuesClient(port=self.tcp_port)
        self.boiler = self.client.device("boiler")
        self.addCleanup(self.client.close)

    async def test_read(self) -> None:
        """What the server knows, with unit of measure, quality and time."""
        self.assertEqual(
            await self.boiler.read("flow"),
            ValueReading("boiler.flow", 54.5, "°C", Quality.GOOD, self.values.stamp),
        )
        self.assertTrue((await self.boiler.read("flow")).is_good)
        self.assertEqual(self.values.asked, [])
        unread = await self.client.device("meter").read("power")
        self.assertEqual((unread.value, unread.quality, unread.time), (None, Quality.STALE, None))
        self.assertEqual(unread.why, "it was not read yet")

    async def test_fresh(self) -> None:
        """The device is read."""
        self.values.then(55.0, ResponseTimeout("it does not answer"))
        self.assertEqual((await self.boiler.read("flow", fresh=True)).value, 55.0)
        error = await self.assertFailure(self.boiler.read("flow", fresh=True), ResponseTimeout)
        self.assertIn("it does not answer", str(error))

    async def test_several(self) -> None:
        found = await self.client.read("meter.*", "boiler.flow")
        self.assertEqual([one.name for one in found], ["meter.power", "boiler.flow"])
        self.assertEqual(len(await self.boiler.read_all()), 3)

    async def test_several_of_which_one_fails(self) -> None:
        """Its reading says why; if all fail, or a name is wrong, so does the call."""
        self.values.then(IllegalDataAddress(unit=1, function_code=4), 60.5)
        flow, set_point = await self.client.read("boiler.flow", "boiler.set", fresh=True)
        self.assertEqual((flow.value, flow.quality, type(flow.error)), (None, Quality.BAD, IllegalDataAddress))
        self.assertEqual(set_point.value, 60.5)
        self.values.then(ResponseTimeout("no"), ResponseTimeout("no"))
        await self.assertFailure(self.client.read("boiler.flow", "boiler.set", fresh=True), ResponseTimeout)
        await self.assertFailure(self.client.read("boiler.flow", "boiler.x"), UnknownName)

    async def test_write(self) -> None:
        for point, value, sent in (("set", 65.5, "65.5"), ("mode", "on", "on"), ("set", -3, "-3")):
            written = await self.boiler.write(point, value)
            self.assertEqual((written.name, self.values.asked[-1].value), (f"boiler.{point}", sent))
        self.assertEqual((await self.boiler.read("set")).value, -3.0)

    async def test_b1_a_write_that_was_not_read_back(self) -> None:
        """B1: to this face, and to asyncio's."""
        done = Confirmed(Reading(61.0, Quality.GOOD, self.values.stamp), "unit 1 did not answer")

        async def write() -> Any:
            async with aio.LuminaValuesClient(port=self.tcp_port) as client:
                return await client.write("boiler.set", 61)

        self.values.then(done)
        here = await self.boiler.write("set", 61)
        self.values.then(done)
        there = await self.in_thread(asyncio.run, write())
        for written in (here, there):
            self.assertEqual((written.value, written.not_read_back), (61.0, "unit 1 did not answer"))
        self.assertEqual((await self.boiler.write("set", 62)).not_read_back, "")

    async def test_writes_that_fail(self) -> None:
        await self.assertFailure(self.boiler.write("flow", 3), NotWritable)
        await self.assertFailure(self.boiler.write("set", "warm"), RequestError)
        self.values.then(NotTaken("it holds 60"), OutcomeUnknown("no reply"))
        await self.assertFailure(self.boiler.write("set", 61), NotTaken)
        await self.assertFailure(self.boiler.write("set", 61), OutcomeUnknown)

    async def test_unknown_name(self) -> None:
        error = await self.assertFailure(self.boiler.read("flaw"), UnknownName)
        self.assertIn("boiler.flow", str(error))

    async def test_callers_faults(self) -> None:
        """Nothing is sent."""
        for call in (
            self.boiler.read("*"), self.boiler.read("a\nb"), self.client.read(), self.client.read("x" * 5000),
            self.client.watch(print), self.client.list(""), self.boiler.write("set", None),
            self.boiler.history("set", 0), self.boiler.read("flow", timeout=0),
        ):
            await self.assertFailure(call, RequestError)
        self.assertFalse(self.client.is_connected)

    async def test_list(self) -> None:
        flow, set_point, mode = await self.client.list("boiler.*")
        self.assertEqual((flow.name, flow.type, flow.unit_of_measure), ("boiler.flow", "i16", "°C"))
        self.assertEqual((flow.writable, set_point.writable), (False, True))
        self.assertEqual((set_point.low, set_point.high, mode.words), (10, 80, ("off", "eco", "on")))
        self.assertEqual(await self.client.describe("boiler.set"), set_point)

    async def test_history(self) -> None:
        for value in (55.0, 56.0):
            self.values.tell("boiler.flow", value)
        self.assertEqual([one.value for one in await self.boiler.history("flow")], [54.5, 55.0, 56.0])
        self.assertEqual([one.value for one in await self.boiler.history("flow", 1)], [56.0])

    async def test_config(self) -> None:
        self.assertEqual((await self.boiler.config())["poll"], 1.0)
        now = await self.boiler.configure({"points.flow.poll": 2}, poll=0.5, summary="in the cellar")
        self.assertEqual((now["poll"], now["points.flow.poll"], now["summary"]), (0.5, 2, "in the cellar"))
        self.values.then(ConfigError(["poll: is 0 or more", "x: is no key"]))
        error = await self.assertFailure(self.boiler.configure(poll=-1, x=3), ConfigError)
        self.assertEqual(error.faults, ("poll: is 0 or more", "x: is no key"))

    async def test_watch(self) -> None:
        told: list[tuple[str, Any]] = []
        unsubscribe = await self.boiler.watch(lambda one: told.append((one.name, one.value)), "flow", "set")
        self.assertEqual(told, [("boiler.flow", 54.5), ("boiler.set", 60.0)])
        self.values.tell("boiler.flow", 55.0)
        await self.client.read("boiler.flow")  # what came before it has been told
        self.assertEqual(told[2:], [("boiler.flow", 55.0)])
        unsubscribe()
        await self.client.read("boiler.flow")
        self.assertEqual(self.values.watched(), [])

    async def test_an_observer_that_fails(self) -> None:
        """Its error is logged, and it gets the next change."""
        told: list[Any] = []

        def observe(one: ValueReading) -> None:
            told.append(one.value)
            raise ZeroDivisionError

        await self.boiler.watch(observe, "flow")
        self.values.tell("boiler.flow", 55.0)
        await self.client.read("boiler.flow")
        self.assertEqual(told, [54.5, 55.0])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    async def test_watching_over_a_lost_connection(self) -> None:
        told: list[Any] = []
        good_again: Deferred[None] = Deferred()

        def observe(one: ValueReading) -> None:
            told.append((one.value, str(one.quality)))
            if len(told) == 3:
                good_again.callback(None)

        await self.boiler.watch(observe, "flow")
        for connection in tuple(self.listener._clients):
            connection.cut()
        self.values.tell("boiler.flow", 55.0)
        await good_again
        self.assertEqual(told, [(54.5, "good"), (54.5, "stale"), (55.0, "good")])

    async def test_watching_what_is_not_there(self) -> None:
        await self.assertFailure(self.boiler.watch(print, "x"), UnknownName)
        await self.assertFailure(self.boiler.watch(print, "flow", "x"), UnknownName)
        await self.client.read("boiler.flow")
        self.assertEqual(self.values.watched(), [])

    async def test_cancelled(self) -> None:
        self.values.then(None)
        asked = self.boiler.read("flow", fresh=True)
        await self.boiler.read("flow")
        asked.cancel()
        await self.assertFailure(asked, Cancelled)
        self.assertEqual((await self.boiler.read("set")).value, 60.0)

    async def test_cancelled_by_another_callback_of_the_same_turn(self) -> None:
        """Its answer has been received."""
        await self.client.connect()
        first: Deferred[Any] = self.boiler.read("flow")
        second: Deferred[Any] = self.boiler.read("set")
        first.addCallback(lambda _: second.cancel())
        await first
        second.addErrback(lambda failure: failure.trap(Cancelled))
        await second

    async def test_closed(self) -> None:
        self.values.then(None, None)
        read, write = self.boiler.read("flow", fresh=True), self.boiler.write("set", 3)
        await self.boiler.read("flow")
        await self.client.close()
        await self.assertFailure(read, Cancelled)
        await self.assertFailure(write, OutcomeUnknown)
        await self.assertFailure(self.boiler.read("flow"), NotConnected)
        await self.assertFailure(self.boiler.watch(print), NotConnected)

    async def test_an_answer_to_another_question(self) -> None:
        await self.assertFailure(self.client._run(lambda: _misunderstanding(self.client)), ServerError)

    async def test_a_device_of_the_other_client(self) -> None:
        """As the mission has it; both connections end together."""
        client = LuminaModbusClient(values_port=self.tcp_port)
        self.assertEqual((await client.device("boiler").read("flow")).value, 54.5)
        self.assertFalse(client.is_connected)
        await client.close()
        await self.assertFailure(client.device("boiler").read("flow"), NotConnected)


def _misunderstanding(client: LuminaValuesClient) -> Operation[Any]:
    listing: Any = ValuesClient.list
    writing: Any = ValuesClient.write
    asked = listing.__wrapped__(client, "*")
    return Operation(asked.request, writing.__wrapped__(client, "a.b", 1).result)


class Awaitables(ValuesCase):
    """The face for asyncio programs."""

    def run_with(self, program: Callable[[aio.LuminaValuesClient], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            async with aio.LuminaValuesClient(port=self.tcp_port) as client:
                return await program(client)

        return self.in_thread(asyncio.run, main())

    async def test_everything(self) -> None:
        async def program(client: aio.LuminaValuesClient) -> list[Any]:
            boiler = client.device("boiler")
            reading = await boiler.read("flow")
            return [
                (reading.value, reading.unit_of_measure, reading.quality, reading.time),
                (await boiler.write("set", 65)).value, len(await boiler.read_all()),
                (await boiler.read("set", fresh=True)).value,
                [one.value for one in await boiler.history("set")], (await boiler.config())["poll"],
                (await boiler.configure(poll=2))["poll"], [one.name for one in await client.list("m*")],
                (await client.describe("meter.power")).type, [one.name for one in await client.read("boiler.m*")],
            ]

        self.assertEqual(await self.run_with(program), [
            (54.5, "°C", "good", self.values.stamp), 65.0, 3, 65.0, [60.0, 65.0, 65.0], 1.0, 2, ["meter.power"], "f32",
            ["boiler.mode"],
        ])

    async def test_errors(self) -> None:
        async def program(client: aio.LuminaValuesClient) -> list[type]:
            boiler, found = client.device("boiler"), []
            calls = (
                lambda: boiler.read("x"), lambda: boiler.write("flow", 1), lambda: boiler.watch(print, "x"),
                lambda: boiler.read("*"), lambda: client.read(),
            )
            for call in calls:
                try:
                    await call()
                except Exception as error:
                    found.append(type(error))
            return found

        self.assertEqual(
            await self.run_with(program), [UnknownName, NotWritable, UnknownName, RequestError, RequestError]
        )

    async def test_changes(self) -> None:
        """Each change, for ``async for``; leaving the loop ends the watch."""

        async def program(client: aio.LuminaValuesClient) -> list[Any]:
            found = []
            changes: Any = client.device("boiler").changes("flow")
            async for change in changes:
                found.append(change.value)
                if len(found) == 3:
                    break
                self.tell("boiler.flow", 54.5 + len(found))
            await changes.aclose()
            await client.read("boiler.flow")
            return [found, self.values.watched()]

        self.assertEqual(await self.run_with(program), [[54.5, 55.5, 56.5], []])

    async def test_changes_end_with_the_client(self) -> None:
        async def program(client: aio.LuminaValuesClient) -> list[Any]:
            found = []
            async for change in client.changes("boiler.*"):
                found.append(change.name)
                if len(found) == 3:
                    asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(client.close()))
            return found

        self.assertEqual(await self.run_with(program), ["boiler.flow", "boiler.set", "boiler.mode"])

    async def test_changes_that_nobody_takes(self) -> None:
        """The last of each name is kept."""
        self.patch(aio, "CHANGES", 10)

        async def program(client: aio.LuminaValuesClient) -> list[Any]:
            changes: Any = client.changes("boiler.*")
            first = await anext(changes)
            for number in range(100):
                self.tell("boiler.flow", float(number))
            while (await client.read_one("boiler.flow")).value != 99.0:
                pass
            rest = [await anext(changes)]
            while rest[-1].value != 99.0:
                rest.append(await anext(changes))
            await changes.aclose()
            return [first.name, {60.0, "eco"} <= {one.value for one in rest}, len(rest) <= 10]

        self.assertEqual(await self.run_with(program), ["boiler.flow", True, True])

    async def test_an_observer_that_fails(self) -> None:
        async def program(client: aio.LuminaValuesClient) -> list[Any]:
            reported: list[Any] = []
            asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["message"]))
            unsubscribe = await client.watch(lambda _: 1 / 0, "boiler.flow")
            unsubscribe()
            return reported

        self.assertEqual(await self.run_with(program), ["an observer of values failed"])

    async def test_cancelled(self) -> None:
        """The next request is not affected, and a watch of a cancelled caller ends."""

        async def program(client: aio.LuminaValuesClient) -> Any:
            tasks = [asyncio.ensure_future(client.read("boiler.flow")) for _ in range(5)]
            tasks.append(asyncio.ensure_future(client.watch(print, "boiler.*")))
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return [(await client.read_one("boiler.set")).value, len(client._session._watches)]

        self.assertEqual(await self.run_with(program), [60.0, 0])

    async def test_cancelled_when_it_has_just_begun(self) -> None:
        """The watch ends, for its caller did not get the function that ends it."""

        async def program(client: aio.LuminaValuesClient) -> Any:
            loop = asyncio.get_running_loop()
            task = asyncio.ensure_future(client.watch(lambda _: loop.call_soon(task.cancel), "boiler.flow"))
            await asyncio.gather(task, return_exceptions=True)
            return [task.cancelled(), len(client._session._watches)]

        self.assertEqual(await self.run_with(program), [True, 0])

    async def test_a_device_of_the_other_client(self) -> None:
        async def main() -> Any:
            client = aio.LuminaModbusClient(values_port=self.tcp_port)
            value = (await client.device("boiler").read("flow")).value
            await client.close()
            return value

        self.assertEqual(await self.in_thread(asyncio.run, main()), 54.5)


class Alone(SynchronousTestCase):
    """Without a server."""

    def test_texts(self) -> None:
        for value, text in (
            (True, "on"), (False, "off"), (65, "65"), (65.5, "65.5"), ("eco", "eco"), (("a", "b"), "a,b"), ((), "none"),
        ):
            self.assertEqual(value_text(value), text)
        for wrong in (None, {"a": 1}, b"x", (1,)):
            self.assertRaises(RequestError, value_text, wrong)

    def test_places(self) -> None:
        """The place of the listener for values follows from that of the commands."""
        for host, port, place in (
            ("10.0.0.5", 5000, ("10.0.0.5", 5000)), ("/run/lumina", 5000, ("127.0.0.1", 5000)),
            ("h", "/run/values", ("/run/values", 5000)),
        ):
            self.assertEqual(aio.LuminaModbusClient(host, values_port=port)._values_place, place)
        for wrong in (0, "5000", 70000):
            self.assertRaises(RequestError, aio.LuminaModbusClient, values_port=wrong)
