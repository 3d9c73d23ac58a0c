"""Nobody widens what the file of a device protects."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import attrs
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.devices import changing as permission
from lumina_twisted.devices.changing import fault_of_size, faults, split
from lumina_twisted.devices.describe.description import Device
from lumina_twisted.devices.describe.settings import DeviceSettings, PointSettings
from lumina_twisted.devices.plant import PlantService
from lumina_twisted.errors import ConfigError
from tests.devices.test_service import DEVICES, ServiceCase

PROTECTED = {"hall": {key: value for key, value in DEVICES["hall"].items() if key != "configurable"}}
DEVICE = Device(name="hall", port="p", unit=3, points={})
WIDENINGS: tuple[dict[str, Any], ...] = (
    {"points.temperature.writable": True}, {"points.temperature.high": 1e6}, {"points.temperature.low": -1e6},
    {"port": "p"}, {"unit": 4}, {"profile": "sensor"}, {"word_order": "little"}, {"byte_order": "little"},
    {"points.temperature.address": 7}, {"points.temperature.table": "holding"}, {"points.temperature.type": "u32"},
    {"points.temperature.scale": 100}, {"points.temperature.offset": 5}, {"points.temperature.bit": 1},
    {"points.temperature.enum": {"0": "on"}}, {"points.temperature.enum.0": "on"}, {"points.temperature.length": 9},
    {"points.temperature.write": "multiple"}, {"points.temperature.read_back": False},
    {"points.temperature.tolerance": 9}, {"hole": 100}, {"most": 125},
    {"points": {"temperature": {"poll": 2, "writable": True}}},
)


class Keys(SynchronousTestCase):
    """What of a device that is not `configurable` is free."""

    def test_every_key_of_a_device_and_of_a_point(self) -> None:
        """A key that is added later is protected, unless somebody decides otherwise."""
        free = {one.name for one in attrs.fields(DeviceSettings) if not list(faults(DEVICE, {one.name: 1}))}
        self.assertEqual(free, {"summary", "poll"})
        names = [one.name for one in attrs.fields(PointSettings)]
        free = {name for name in names if not list(faults(DEVICE, {"points": {"x": {name: 1}}}))}
        self.assertEqual(free, {"summary", "poll", "dead_band", "unit_of_measure"})

    def test_what_takes_a_change_back_is_free(self) -> None:
        self.assertEqual(list(faults(DEVICE, {"unit": None, "points": {"x": {"high": None}}})), [])

    def test_a_configurable_device(self) -> None:
        self.assertEqual(list(faults(attrs.evolve(DEVICE, configurable=True), {"unit": 4})), [])

    def test_split(self) -> None:
        kept = {"poll": 2, "unit": 4, "points": {"x": {"high": 9, "poll": 3}, "y": {"enum": {"0": "on"}}}, "old": 1}
        allowed, refused = split(DEVICE, kept)
        self.assertEqual(allowed, {"poll": 2, "points": {"x": {"poll": 3}}})
        self.assertEqual(refused, ["unit", "points.x.high", "points.y.enum.0", "old"])
        self.assertEqual(split(attrs.evolve(DEVICE, configurable=True), kept), (kept, []))

    def test_how_much_is_kept(self) -> None:
        many = {"points": {f"x{number}": {"poll": 1} for number in range(permission.MOST_KEYS + 1)}}
        self.assertIn("201 keys", fault_of_size("hall", {}, many))
        self.assertIn("bytes", fault_of_size("hall", {}, {"summary": "x" * permission.MOST_BYTES}))
        self.assertEqual(fault_of_size("hall", {}, {"summary": "x" * 10_000}), "")
        self.assertEqual(fault_of_size("hall", {**many, "poll": 2}, many), "", "less than before is possible")


class Running(ServiceCase):
    """The same in a service, and across a restart."""

    def setUp(self) -> None:
        super().setUp()
        self.told: list[str] = []
        globalLogPublisher.addObserver(self._hear)
        self.addCleanup(globalLogPublisher.removeObserver, self._hear)

    def _hear(self, event: Any) -> None:
        if event.get("log_namespace") == "lumina.values":
            self.told.append(formatEvent(event) or "")

    async def protected(self) -> PlantService:
        return await self.started(described=PROTECTED)

    async def test_nothing_is_widened(self) -> None:
        service = await self.protected()
        before = service.plant._devices["hall"]
        for changes in WIDENINGS:
            error = await self.assertFailure(service.plant.configure("hall", changes), ConfigError)
            self.assertIn("only its file may say this", str(error), changes)
            self.assertIn("`configurable = true` in [devices.hall] would let them", str(error))
        self.assertEqual(service.plant.config("hall"), PROTECTED["hall"])
        self.assertIs(service.plant._devices["hall"], before)

    async def test_no_point_is_added(self) -> None:
        service = await self.protected()
        for changes in (
            {"points.new.address": "40001", "points.new.writable": True}, {"points.new": {"poll": 1}},
            {"points.new": {}}, {"points.new.poll": 1}, {"points.new": 5}, {"points": 5},
        ):
            await self.assertFailure(service.plant.configure("hall", changes), ConfigError)
        self.assertEqual(service.plant.names(), ["hall.temperature", "hall.humidity"])

    async def test_a_change_is_refused_as_a_whole(self) -> None:
        service = await self.protected()
        await self.assertFailure(service.plant.configure("hall", {"poll": 5, "unit": 4}), ConfigError)
        self.assertEqual(service.plant.config("hall"), PROTECTED["hall"])

    async def test_what_is_free_and_who_changed_it(self) -> None:
        service = await self.protected()
        changes = {"poll": 5, "summary": "here", "points.temperature.dead_band": 1}
        await service.plant.configure("hall", changes, "10.0.0.7:4001")
        self.assertEqual(
            self.told[-1],
            'hall is configured anew by 10.0.0.7:4001: poll=5, summary="here", points.temperature.dead_band=1',
        )
        await service.plant.configure("hall", {"poll": 6, "summary": None}, "10.0.0.8:1")
        self.assertEqual(
            self.told[-1], 'hall is configured anew by 10.0.0.8:1: poll=6 (was 5.0), summary=null (was "here")'
        )

    async def test_it_is_bounded(self) -> None:
        service = await self.protected()
        self.patch(permission, "MOST_KEYS", 2)
        await service.plant.configure("hall", {"poll": 5, "summary": "here"})
        error = await self.assertFailure(
            service.plant.configure("hall", {"points.temperature.poll": 1}), ConfigError
        )
        self.assertIn("devices.hall: with this 3 keys in ", str(error))
        self.assertIn("2 keys in 16384 bytes are the most", str(error))
        await service.plant.configure("hall", {"summary": None, "points.temperature.poll": 1})

    async def test_what_was_kept_before_and_is_not_allowed_any_more(self) -> None:
        """An old database, in which clients had moved the device and widened it: the file counts, and the rest stays
        in effect."""
        before = await self.started()
        await before.plant.configure("hall", {
            "unit": 4, "poll": 7, "points.temperature.scale": 5, "points.temperature.dead_band": 2,
        })
        await before.stopService()
        self.told.clear()
        after = await self.protected()
        self.assertEqual(after.plant.config("hall"), {
            **PROTECTED["hall"], "poll": 7.0, "points": {"temperature": {"dead_band": 2}},
        })
        self.assertEqual(after.plant.describe("hall.temperature").unit, 3)
        [sentence] = [one for one in self.told if "not in effect" in one]
        self.assertIn("hall: what clients configured of unit, points.temperature.scale is not in effect", sentence)
        self.assertIn("`config hall unit=null`", sentence)
        await after.plant.configure("hall", {"unit": None})
        await after.stopService()
        self.told.clear()
        again = await self.protected()
        self.assertEqual([one for one in self.told if "not in effect" in one], [])
        self.assertEqual(again.plant.config("hall")["poll"], 7.0)

    async def test_nothing_else_was_kept(self) -> None:
        """What is taken back is gone from the file then, too."""
        before = await self.started()
        await before.plant.configure("hall", {"unit": 4})
        await before.stopService()
        after = await self.protected()
        await after.plant.configure("hall", {"unit": None})
        await after.stopService()
        with sqlite3.connect(self.file) as connection:
            rows = connection.execute("SELECT config FROM configurations").fetchall()
        connection.close()
        self.assertEqual([json.loads(one) for (one,) in rows], [])
