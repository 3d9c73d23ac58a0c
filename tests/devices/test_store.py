"""The store: what is kept, what a damaged, full or missing disk does, and what kill -9 takes."""

from __future__ import annotations

import asyncio
import math
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Coroutine
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import Clock, deferLater
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lumina_twisted.devices.state import RESTORED
from lumina_twisted.devices.store.database import APPLICATION_ID, VERSION, Configuration, Kept, checkpoint
from lumina_twisted.devices.store.state_store import LOG_EVERY, RETRY, StateStore, StoreSettings
from lumina_twisted.errors import ConfigError
from lumina_twisted.helpers import DeviceStateManager
from lumina_twisted.valueproto.reading import Quality, Reading

KILL_AFTER = 1000
"""Changes."""


def good(value: Any, time: float = 1.0) -> Reading:
    return Reading(value, Quality.GOOD, time)


def count_of(path: str, table: str = "changes") -> int:
    """Rows, as any other program sees them."""
    with sqlite3.connect(path) as connection:
        number: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    connection.close()
    return number


class WithAFile(TestCase):
    """The real reactor, a file, and what is logged. Nothing waits for a time: each test flushes."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.logged: list[str] = []
        self.time = 0.0
        globalLogPublisher.addObserver(self.log)
        self.addCleanup(globalLogPublisher.removeObserver, self.log)

    def log(self, event: LogEvent) -> None:
        if event.get("log_namespace") == "lumina.values":  # as docs/logging.md names the part
            self.logged.append(formatEvent(event))

    def make(self, **given: Any) -> StateStore:
        """One that is stopped in the end."""
        given = {"path": self.path, "save_every": 3600.0, **given}
        store = StateStore(StoreSettings(**given), reactor, now=lambda: self.time)
        self.addCleanup(store.stop)
        return store

    async def restarted(self, store: StateStore | None = None, **given: Any) -> Kept:
        """What is there after a restart."""
        if store is not None:
            await store.stop()
        again = self.make(**given)
        kept: Kept = await again.start()
        await again.stop()
        return kept


class Keeping(WithAFile):
    """What is written and read again."""

    async def test_all_kinds_of_readings(self) -> None:
        readings = [
            good(True), good(7), good(2**64 - 1), good(-1.5e300), good("öko \ud83d"), good(("a", "b")), good(()),
            good(math.inf), Reading(None, Quality.BAD, None, "no reply"), Reading(1, Quality.STALE, 2.0, "läte"),
        ]
        store = self.make()
        self.assertEqual(await store.start(), Kept())
        for reading in readings:
            store.add("boiler", "flow", reading)
        self.assertEqual(store.waiting, 10)
        self.assertTrue(await store.flush())
        self.assertEqual(store.waiting, 0)
        kept = await self.restarted(store)
        self.assertEqual(kept.changes, {("boiler", "flow"): readings})
        self.assertEqual(repr(kept.changes[("boiler", "flow")][1].value), "7")
        self.assertEqual(kept.readings, {("boiler", "flow"): readings[-1]})

    async def test_a_restart_of_a_state(self) -> None:
        """The last reading is that of the stop, though it was no change."""
        store = self.make()
        states = DeviceStateManager(keep=store.add)
        await store.start()
        for time in (1.0, 2.0):
            states.update("boiler", {"flow": good(20.0, time)})
        await store.stop(states.readings())
        kept = await self.restarted()
        states = DeviceStateManager()
        states.restore(kept.readings, kept.changes)
        self.assertEqual(states.state("boiler"), {"flow": Reading(20.0, Quality.STALE, 2.0, RESTORED)})
        self.assertEqual(states.history("boiler", "flow"), (good(20.0, 1.0),))

    async def test_bounded(self) -> None:
        """In all, and of a point what is read at start. The last reading of a point that lost its history is there."""
        store = self.make(history_rows=10, batch_rows=4)
        await store.start()
        store.add("boiler", "pump", good(True))
        for value in range(30):
            store.add("boiler", "flow", good(value))
        await store.flush()
        self.assertEqual(count_of(self.path), 10)
        kept = await self.restarted(store, history=3)
        self.assertEqual([one.value for one in kept.changes[("boiler", "flow")]], [27, 28, 29])
        self.assertEqual(kept.readings, {("boiler", "pump"): good(True), ("boiler", "flow"): good(29)})

    async def test_no_history_at_all(self) -> None:
        store = self.make(history_rows=0)
        await store.start()
        for value in range(3):
            store.add("boiler", "flow", good(value))
            await store.flush()
        self.assertEqual(count_of(self.path), 0)

    async def test_written_in_its_time(self) -> None:
        store = self.make(save_every=0.05)
        await store.start()
        store.add("boiler", "flow", good(1))
        await self.until(store, 0)
        self.assertEqual(count_of(self.path), 1)

    async def test_full_batches_are_written_at_once(self) -> None:
        store = self.make(batch_rows=5)
        await store.start()
        for value in range(11):
            store.add("boiler", "flow", good(value))
        await self.until(store, 1)
        self.assertEqual(count_of(self.path), 10)

    async def until(self, store: StateStore, waiting: int) -> None:
        while store.waiting > waiting:
            await deferLater(reactor, 0.005)

    async def test_before_the_start(self) -> None:
        """It waits."""
        store = self.make()
        store.add("boiler", "flow", good(1))
        self.assertFalse(await store.flush())
        await store.start()
        self.assertTrue(await store.flush())
        self.assertEqual(count_of(self.path), 1)
        await store.stop()
        store.add("boiler", "flow", good(2))
        await store.stop()

    async def test_configurations(self) -> None:
        store = self.make()
        refused = store.save_configuration("boiler", "heater", {})
        await self.assertFailure(refused, ConfigError)
        await store.start()
        last = {"poll": 0.5, "line": {"parity": "even"}}
        for device, config in (("boiler", {"poll": 1}), ("tank", {}), ("boiler", last)):
            await store.save_configuration(device, "heater", config)
        await store.save_configuration("pump", "drive", {})
        await store.remove_configuration("pump")
        kept = await self.restarted(store)
        self.assertEqual(
            kept.configurations,
            {
                "boiler": Configuration("heater", last), "tank": Configuration("heater", {}),
            },
        )

    async def test_its_folder_is_made(self) -> None:
        self.path = os.path.join(self.mktemp(), "below", "state.sqlite")
        store = self.make()
        await store.start()
        await store.stop()
        self.assertEqual((count_of(self.path), self.logged), (0, []))

    async def test_what_cannot_be_written_at_all_harms_no_other_batch(self) -> None:
        store = self.make(batch_rows=1)
        await store.start()
        store.add("boiler", "flow\ud800", good(1))
        store.add("boiler", "flow", good(2))
        await self.assertFailure(store.flush(), UnicodeEncodeError)
        self.assertTrue(await store.flush())
        self.assertEqual(count_of(self.path), 1)


class Trouble(WithAFile):
    """Files and disks that do not do."""

    def aside(self) -> list[str]:
        """What was set aside."""
        folder = pathlib.Path(self.path).parent
        name = pathlib.Path(self.path).name
        return sorted(one.name.removeprefix(name) for one in folder.glob(f"{name}.damaged-*"))

    async def made(self) -> None:
        """A file with many pages."""
        store = self.make()
        await store.start()
        for value in range(2000):
            store.add("boiler", "flow", good(value))
        await store.stop()

    async def assert_begun_anew(self, why: str) -> None:
        kept = await self.restarted()
        self.assertEqual(kept, Kept())
        name, *_ = self.aside()
        self.assertRegex(name, r"^\.damaged-\d{8}-\d{6}$")
        (told,) = self.logged
        self.assertIn(f"{self.path} cannot be used: {why}", told)
        self.assertIn(f"set aside as {pathlib.Path(self.path).name}{name}, and a new file was begun", told)
        await self.made()
        self.assertEqual(count_of(self.path), 2000)

    async def test_no_database(self) -> None:
        pathlib.Path(self.path).write_bytes(b"this is no database\0\xa5" * 100)
        await self.assert_begun_anew("file is not a database")

    async def test_a_text_is_left_alone(self) -> None:
        """It was named by mistake, as a configuration or a file of the system, and somebody needs it where it is."""
        for text in ("[ports.boiler]\n", "root:x:0:0:root:/root:/bin/bash\n" * 40, "x" * 4095 + "°C"):
            pathlib.Path(self.path).write_text(text)
            self.logged.clear()
            store = self.make()
            self.assertEqual(await store.start(), Kept())
            self.assertIn("it is a text, and no database; name another file", self.logged[0])
            store.add("boiler", "flow", good(1))
            self.assertFalse(await store.flush())
            await store.stop()
            self.assertEqual((self.aside(), pathlib.Path(self.path).read_text()), ([], text))

    async def test_damaged(self) -> None:
        await self.made()
        with open(self.path, "r+b") as file:
            file.seek(2 * 4096)
            file.write(b"\xa5" * 20_000)
        await self.assert_begun_anew("")

    async def test_a_bit_that_flipped_takes_its_row_alone(self) -> None:
        """No check of SQLite's sees that."""
        store = self.make()
        await store.start()
        for point in ("flow", "return", "mode", "fan"):
            store.add("boiler", point, good(7))
        await store.save_configuration("boiler", "heater", {"poll": 5})
        await store.save_configuration("pump", "pump", {"poll": 1})
        await store.stop()
        with sqlite3.connect(self.path) as connection:
            connection.execute("UPDATE readings SET value = '{' WHERE point = 'flow'")
            connection.execute("UPDATE readings SET value = CAST(x'C3' AS TEXT) WHERE point = 'return'")
            connection.execute("UPDATE changes SET quality = 'gooe' WHERE point = 'mode'")
            connection.execute("UPDATE configurations SET config = '[' WHERE device = 'pump'")
        connection.close()
        kept = await self.restarted()
        self.assertEqual(list(kept.readings), [("boiler", "fan"), ("boiler", "mode")])
        self.assertEqual(list(kept.changes), [("boiler", "flow"), ("boiler", "return"), ("boiler", "fan")])
        self.assertEqual(kept.configurations, {"boiler": Configuration("heater", {"poll": 5})})
        (told,) = self.logged
        self.assertIn("4 rows cannot be read", told)
        self.assertIn("what was configured of pump", told)

    async def test_its_log_goes_with_it(self) -> None:
        """Else the new file would take it for its own."""
        pathlib.Path(self.path).write_text("no" * 1000)
        for tail in ("-wal", "-shm"):
            pathlib.Path(self.path + tail).write_text("no")
        await self.restarted()
        names = self.aside()
        self.assertEqual([name[-4:] for name in names[1:]], ["-shm", "-wal"])
        self.assertEqual(len(names), 3)

    async def test_newer(self) -> None:
        await self.made()
        with sqlite3.connect(self.path) as connection:
            connection.execute(f"PRAGMA user_version = {VERSION + 1}")
        connection.close()
        await self.assert_begun_anew("a newer Lumina wrote it (version 2 of its tables, this one knows 1)")

    async def test_another_programs(self) -> None:
        """It is left alone."""
        with sqlite3.connect(self.path) as connection:
            connection.execute("CREATE TABLE theirs (x)")
        connection.close()
        store = self.make()
        self.assertEqual(await store.start(), Kept())
        self.assertIn("it is another program's database; name another file", self.logged[0])
        self.assertEqual((self.aside(), count_of(self.path, "theirs")), ([], 0))
        await store.stop()

    async def test_damaged_while_it_runs(self) -> None:
        store = self.make()
        await store.start()
        assert store._database is not None
        await store._database.runInteraction(checkpoint)
        store._database.suspect(self.corrupt())
        pathlib.Path(self.path).write_text("no" * 10_000)
        store.add("boiler", "flow", good(1))
        self.assertTrue(await store.flush())
        self.assertEqual((len(self.logged), count_of(self.path)), (1, 1))

    def corrupt(self) -> sqlite3.DatabaseError:
        error = sqlite3.DatabaseError("malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        return error

    async def test_a_path_that_cannot_be(self) -> None:
        """Told once an hour, with what waits bounded; when it can be written it is."""
        os.mkdir(self.path)
        store = self.make(batch_rows=2)
        self.assertEqual(await store.start(), Kept())
        for value in range(30):
            store.add("boiler", "flow", good(value))
            self.assertFalse(await store.flush())
        refused = await self.assertFailure(store.save_configuration("boiler", "heater", {}), ConfigError)
        self.assertIn("boiler: cannot be kept:", str(refused))
        self.assertEqual(len(self.logged), 2, self.logged)
        self.assertIn("unable to open database file; look at its disk, and at who may write there", self.logged[0])
        self.assertIn("more than 20 changes of states wait for it", self.logged[1])
        self.time += LOG_EVERY
        await store.flush()
        self.assertEqual(len(self.logged), 3)
        os.rmdir(self.path)
        self.assertTrue(await store.flush())
        self.assertIn("is written again; 10 changes of states were not kept", self.logged[3])
        await store.save_configuration("boiler", "heater", {})
        self.assertTrue(await store.flush())
        kept = await self.restarted(store)
        self.assertEqual([one.value for one in kept.changes[("boiler", "flow")]], list(range(10, 30)))
        self.assertEqual(len(self.logged), 4)

    async def test_what_comes_while_a_batch_fails(self) -> None:
        """The newest stay, in their order."""
        os.mkdir(self.path)
        store = self.make(batch_rows=2)
        await store.start()
        for value in range(20):
            store.add("boiler", "flow", good(value))
        flushed = store.flush()
        for value in range(20, 25):
            store.add("boiler", "flow", good(value))
        self.assertFalse(await flushed)
        self.assertEqual((store.waiting, store.dropped), (20, 5))
        os.rmdir(self.path)
        kept = await self.restarted(store)
        self.assertEqual([one.value for one in kept.changes[("boiler", "flow")]], list(range(5, 25)))

    async def test_a_full_disk(self) -> None:
        store = self.make()
        await store.start()
        database = store._database
        assert database is not None
        await database.runQuery("PRAGMA max_page_count = 1")
        for value in range(300):
            store.add("boiler", f"flow{value}", good("x" * 100))
        self.assertFalse(await store.flush())
        self.assertEqual((store.waiting, count_of(self.path)), (300, 0))
        self.assertIn("database or disk is full", self.logged[0])
        self.assertFalse(database._is_suspect, "the connection is good")
        await database.runQuery("PRAGMA max_page_count = 100000")
        self.assertTrue(await store.flush())
        self.assertEqual((store.waiting, count_of(self.path), len(self.logged)), (0, 300, 2))

    async def test_a_stop_says_what_is_not_kept(self) -> None:
        os.mkdir(self.path)
        store = self.make()
        await store.start()
        store.add("boiler", "flow", good(1))
        await store.stop()
        self.assertIn("1 changes of states are not kept", self.logged[-1])


class Killed(TestCase):
    """A process dies in the middle of a thousand changes a second."""

    def test_kill_9(self) -> None:
        """The file opens, is whole, has all but what the process itself knew to wait, and the configuration."""
        path = self.mktemp()
        script = pathlib.Path(__file__).with_name("kept_script.py")
        root = pathlib.Path(__file__).parent.parent.parent
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(root), os.environ.get("PYTHONPATH", "")))}
        with subprocess.Popen(
            [sys.executable, str(script), path], stdout=subprocess.PIPE, env=environment, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if int(line.split()[0]) >= KILL_AFTER:
                    process.send_signal(signal.SIGKILL)
                    break
            rest = process.stdout.read().splitlines()
        *_, told = [line, *(one for one in rest if len(one.split()) == 2)]
        count, waiting = map(int, told.split())
        self.assertLess(waiting, count)
        with sqlite3.connect(path) as connection:
            self.assertEqual(connection.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            values = [int(value) for (value,) in connection.execute("SELECT value FROM changes ORDER BY id")]
            configured = connection.execute("SELECT * FROM configurations").fetchall()
        connection.close()
        self.assertEqual(configured, [("boiler", "heater", '{"poll": 0.5}')])
        self.assertEqual(values, list(range(1, len(values) + 1)))
        self.assertGreaterEqual(len(values), count - waiting)


class WithAClock(SynchronousTestCase):
    """When what is written."""

    def test_times(self) -> None:
        """A batch after its time, a full one at once, and after trouble later."""
        clock = Clock()
        store = StateStore(StoreSettings(path="none", save_every=2.0, batch_rows=2), clock)
        store._database = object()  # type: ignore[assignment]
        store.add("boiler", "flow", good(1))
        (call,) = clock.getDelayedCalls()
        self.assertEqual(call.getTime(), 2.0)
        store.add("boiler", "flow", good(2))
        self.assertEqual(call.getTime(), 0.0)
        call.cancel()
        store._timer = None
        store.trouble = "the disk is full"
        store.add("boiler", "flow", good(3))
        store.add("boiler", "flow", good(4))
        (call,) = clock.getDelayedCalls()
        self.assertEqual(call.getTime(), RETRY)
        call.cancel()
        store._timer = None
        store._on_the_way = 1
        store.add("boiler", "flow", good(5))
        self.assertEqual(clock.getDelayedCalls(), [], "the end of a batch decides")


class WithTheProgramsOwn(WithAFile):
    """In a program of Twisted's that names no reactor."""

    async def test_in_twisted(self) -> None:
        store = StateStore(StoreSettings(path=str(self.path)))
        await store.start()
        self.assertIs(store.reactor, reactor)
        await store.stop()


class WithoutAReactor(SynchronousTestCase):
    """In a program of asyncio's."""

    def test_in_asyncio(self) -> None:
        path = self.mktemp()

        async def program() -> Kept:
            store = StateStore(StoreSettings(path=path, save_every=0.05))
            states = DeviceStateManager(keep=store.add)
            await store.start()
            await states.update_state("device1", {"temperature": 21.5})
            await self.save(store)
            while store.waiting:
                await asyncio.sleep(0.01)
            await store.stop()
            store = StateStore(StoreSettings(path=path))
            kept: Kept = await store.start()
            await store.stop()
            return kept

        kept = asyncio.run(program())
        self.assertEqual(kept.readings[("device1", "temperature")].value, 21.5)
        self.assertEqual(kept.configurations, {"device1": Configuration("heater", {})})

    def test_no_descriptor_stays(self) -> None:
        path = self.mktemp()

        async def program() -> None:
            before = len(os.listdir("/proc/self/fd"))
            for _ in range(3):
                store = StateStore(StoreSettings(path=path))
                await store.start()
                await store.stop()
            self.assertEqual(len(os.listdir("/proc/self/fd")), before)

        asyncio.run(program())

    def save(self, store: StateStore) -> Coroutine[Any, Any, None] | Any:
        return store.save_configuration("device1", "heater", {}).asFuture(asyncio.get_running_loop())


class TheFile(SynchronousTestCase):
    """What other programs go by."""

    def test_application(self) -> None:
        self.assertEqual(APPLICATION_ID.to_bytes(4, "big"), b"Lumi")
