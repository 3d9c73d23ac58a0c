"""The devices as a service: what outlives it, and what is changed while it runs."""

from __future__ import annotations

import copy
import pathlib
import time
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock, deferLater
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import TestCase

from lumina_twisted.devices.describe.document import read_devices, read_profiles
from lumina_twisted.devices.describe.settings import ValuesSettings
from lumina_twisted.devices.plant import PlantService
from lumina_twisted.errors import ConfigError, Stopping, UnknownName
from lumina_twisted.simulator.device import SimulatedDevice
from lumina_twisted.valueproto.reading import Quality
from tests.devices.test_plant import Ports
from tests.devices.timed_port import TimedPort

PROFILES = {
    "sensor": {
        "points": {
            "temperature": {"table": "input", "address": 0, "scale": 0.1, "dead_band": 0.15},
            "humidity": {"table": "input", "address": 1},
        },
    },
}
DEVICES: dict[str, dict[str, Any]] = {"hall": {"port": "p", "unit": 3, "profile": "sensor", "configurable": True}}


class ServiceCase(TestCase):
    """A sensor behind a port; the database's thread is real, the rest is a test's clock."""

    def setUp(self) -> None:
        self.file = pathlib.Path(self.mktemp()) / "values.db"
        self.device = SimulatedDevice()
        self.device.input_registers[0:2] = [215, 40]

    def service(self, database: bool = True, described: Any = DEVICES) -> PlantService:
        self.clock = Clock()
        self.port = TimedPort(self.clock, {3: self.device, 4: SimulatedDevice()})
        faults: list[str] = []
        profiles = read_profiles(PROFILES, "profiles", faults)
        devices = read_devices(described, "devices", profiles, ["p"], faults)
        self.assertEqual(faults, [])
        settings = ValuesSettings(database=str(self.file) if database else "", save_every=0.05)
        made = PlantService(
            devices, profiles, settings, Ports(self.port), Both(self.clock),  # type: ignore[arg-type]
            self.clock.seconds, lambda: 1_000_000 + self.clock.seconds(),
        )
        self.addCleanup(made.stopService)
        return made

    async def started(self, **keys: Any) -> PlantService:
        service = self.service(**keys)
        service.startService()
        await service._started
        return service

    def run_for(self, seconds: float) -> None:
        for _ in range(round(seconds * 100)):
            self.clock.advance(0.01)


class Both:
    """A reactor whose delayed calls are a clock's, and whose threads are real."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        if name in ("callLater", "seconds", "getDelayedCalls"):
            return getattr(self._clock, name)
        return getattr(reactor, name)


class Restarts(ServiceCase):
    """What is there afterwards."""

    async def test_the_last_values(self) -> None:
        before = await self.started()
        self.run_for(1.5)
        self.device.input_registers[0] = 300
        self.run_for(1.5)
        told = before.plant.reading("hall.temperature")
        self.assertEqual((told.value, told.quality), (30.0, Quality.GOOD))
        await before.stopService()
        after = await self.started()
        reading = after.plant.reading("hall.temperature")
        self.assertEqual((reading.value, reading.quality, reading.time), (30.0, Quality.STALE, told.time))
        self.assertIn("restart", reading.why)
        self.assertEqual([one.value for one in after.plant.history("hall.temperature")], [21.5, 30.0])
        self.run_for(1.5)
        self.assertEqual(after.plant.reading("hall.temperature").quality, Quality.GOOD)

    async def test_what_was_changed(self) -> None:
        before = await self.started()
        await before.plant.configure("hall", {"points": {"temperature": {"scale": 0.01}}})
        await before.plant.configure("hall", {"summary": "in the hall", "points.humidity.scale": 2})
        self.run_for(1.5)
        await before.stopService()
        after = await self.started()
        self.assertEqual(after.plant.reading("hall.humidity").value, 80.0)
        self.run_for(1.5)
        self.assertEqual(after.plant.reading("hall.temperature").value, 2.15)
        self.assertEqual(after.plant.reading("hall.humidity").value, 80.0)
        self.assertEqual(after.plant.config("hall"), {
            **DEVICES["hall"], "summary": "in the hall",
            "points": {"temperature": {"scale": 0.01}, "humidity": {"scale": 2}},
        })

    async def test_what_two_change_at_once(self) -> None:
        before = await self.started()
        changed = [before.plant.configure("hall", one) for one in ({"poll": 7}, {"summary": "here"}, {"hole": 3})]
        await gatherResults(changed)
        all_of_it = {**DEVICES["hall"], "poll": 7, "summary": "here", "hole": 3}
        self.assertEqual(before.plant.config("hall"), all_of_it)
        await before.stopService()
        after = await self.started()
        self.assertEqual(after.plant.config("hall"), all_of_it)

    async def test_what_is_changed_before_it_is_read(self) -> None:
        before = await self.started()
        await before.plant.configure("hall", {"poll": 7})
        await before.stopService()
        after = self.service()
        after.startService()
        await after.plant.configure("hall", {"hole": 3})
        self.assertEqual((after.plant.config("hall")["poll"], after.plant.config("hall")["hole"]), (7, 3))

    async def test_changes_that_wait_when_it_stops(self) -> None:
        """The one on its way to the disk is kept, the others are not made, and each is told so."""
        before = await self.started()
        changed = [before.plant.configure("hall", {"summary": f"the {number}th"}) for number in range(500)]
        await before.stopService()
        self.assertIsNone(await changed[0])
        for one in changed[1:]:
            await self.assertFailure(one, Stopping)
        after = await self.started()
        self.assertEqual(after.plant.config("hall")["summary"], "the 0th")

    async def test_a_key_that_is_changed_twice(self) -> None:
        service = await self.started()
        for changes in (
            {"points.humidity.scale": 2, "points": {}},
            {"points": {"humidity": {"scale": 3}}, "points.humidity.scale": 2},
        ):
            kept = copy.deepcopy(changes)
            with self.assertRaisesRegex(ConfigError, "it is changed twice; write it once"):
                await service.plant.configure("hall", changes)
            self.assertEqual(changes, kept)

    async def test_what_was_changed_of_a_device_that_is_gone(self) -> None:
        before = await self.started()
        await before.plant.configure("hall", {"poll": 7})
        await before.stopService()
        after = await self.started(described={"yard": DEVICES["hall"]})
        self.run_for(1.5)
        self.assertEqual(after.plant.reading("yard.temperature").value, 21.5)

    async def test_without_a_database(self) -> None:
        service = await self.started(database=False)
        self.run_for(1.5)
        await service.plant.configure("hall", {"poll": 2.5})
        self.assertEqual(service.plant.config("hall")["poll"], 2.5)
        await service.stopService()
        self.assertFalse(self.file.exists())

    async def test_a_stop_at_once(self) -> None:
        service = self.service()
        service.startService()
        await service.stopService()
        self.assertEqual(self.port.asked, [])


class Changed(ServiceCase):
    """While it runs."""

    async def test_where_it_is(self) -> None:
        service = await self.started()
        self.run_for(1.5)
        self.port.devices[4].input_registers[0] = 77
        await service.plant.configure("hall", {"unit": 4})
        self.run_for(1.5)
        self.assertEqual(service.plant.reading("hall.temperature").value, 7.7)

    async def test_what_is_described_anew_is_not_known(self) -> None:
        """A value of a moment ago would be told in the wrong unit of measure, or be another register's."""
        service = await self.started()
        self.run_for(1.5)
        for changes in ({"points.temperature.scale": 0.01}, {"points.temperature.address": 7}, {"unit": 4}):
            await service.plant.configure("hall", changes)
            told = service.plant.reading("hall.temperature")
            self.assertEqual((told.value, told.quality), (None, Quality.STALE), changes)
            self.assertIn("described anew", told.why)
            self.run_for(1.5)
            self.assertEqual(service.plant.reading("hall.temperature").quality, Quality.GOOD)
        await service.plant.configure("hall", {"poll": 7, "points.temperature.summary": "it is warm"})
        self.assertEqual(service.plant.reading("hall.temperature").quality, Quality.GOOD)

    async def test_nor_is_it_good_where_nobody_answers(self) -> None:
        service = await self.started()
        self.run_for(1.5)
        self.port.go_offline(4)
        await service.plant.configure("hall", {"unit": 4})
        self.run_for(20)
        told = service.plant.reading("hall.temperature")
        self.assertEqual((told.value, told.quality), (None, Quality.BAD))

    async def test_null_takes_a_change_back(self) -> None:
        """Then the file's counts again, at any depth."""
        described = {"hall": {**DEVICES["hall"], "poll": 3, "points": {"humidity": {"scale": 2}}}}
        before = await self.started(described=described)
        await before.plant.configure("hall", {"poll": 1, "points.humidity.scale": 5, "points.humidity.offset": 1})
        await before.plant.configure("hall", {"points.humidity.scale": None, "points.humidity.offset": None})
        self.assertEqual(before.plant.config("hall"), {**described["hall"], "poll": 1})
        await before.plant.configure("hall", {"poll": None})
        self.assertEqual(before.plant.config("hall"), described["hall"])
        await before.stopService()
        after = await self.started(described={"hall": {**described["hall"], "poll": 4}})
        self.assertEqual(after.plant.config("hall")["poll"], 4)

    async def test_the_log_tells(self) -> None:
        """What is changed, and at the next start that it is not as in the file: else nobody knew why."""
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)

        def told() -> str:
            texts = [formatEvent(one) for one in events if one["log_namespace"] == "lumina.values"]
            events.clear()
            return "\n".join(texts)

        before = await self.started()
        self.assertIn(f"values and changes of devices are kept in {self.file.absolute()}", told())
        await before.plant.configure("hall", {"poll": 2, "points.humidity.scale": 5})
        self.assertEqual(told(), "hall is configured anew by Lumina: poll=2, points.humidity.scale=5")
        await before.stopService()
        await self.started()
        self.assertIn(
            "hall is as it was configured while Lumina ran, whatever its file says of poll, points.humidity.scale",
            told(),
        )

    async def test_what_is_refused_changes_nothing(self) -> None:
        service = await self.started()
        for changes, fault in (
            ({"unit": 300}, "hall.unit: expected 1 to 255, got 300"),
            ({"poll": "soon"}, "hall.poll: expected a number, got 'soon'"),
            ({"pol": 1}, "hall.pol: unknown key; did you mean 'poll'?"),
            ({"port": "q"}, "devices.hall.port: there is no port 'q'"),
            ({"profile": "senser"}, "devices.hall.profile: there is no profile 'senser'; did you mean 'sensor'?"),
            ({"points.temperature.scale": 0}, "devices.hall.points.temperature.scale: "),
            ({"points.temprature.scale": 1}, "devices.hall.points.temprature: "),
            ({"configurable": False}, "devices.hall.configurable: only its file says this"),
            ({"baudrate": 4800}, "devices.hall.baudrate: line settings are read when the service starts"),
        ):
            error = await self.assertFailure(service.plant.configure("hall", changes), ConfigError)
            self.assertIn(fault, str(error))
        self.assertEqual(service.plant.config("hall"), DEVICES["hall"])
        await self.assertFailure(service.plant.configure("hal", {"unit": 4}), UnknownName)
        self.assertRaises(UnknownName, service.plant.config, "hal")

    async def test_two_at_the_same_time(self) -> None:
        """Neither takes back what the other has changed."""
        service = await self.started()
        done = [service.plant.configure("hall", changes) for changes in ({"poll": 5.0}, {"hole": 3}, {"unit": 4})]
        for one in done:
            await one
        self.assertEqual(service.plant.config("hall"), {**DEVICES["hall"], "poll": 5.0, "hole": 3, "unit": 4})

    async def test_the_data_path_does_not_wait_for_the_disk(self) -> None:
        service = await self.started()
        assert service.store is not None
        slow: Deferred[Any] = deferLater(reactor, 0.2)  # type: ignore[arg-type]
        service.store._writing.run(lambda: slow)
        began = time.monotonic()
        self.run_for(3)
        self.assertEqual(service.plant.reading("hall.temperature").quality, Quality.GOOD)
        self.assertLess(time.monotonic() - began, 30)
        await slow
