"""Each key has one definition, and what is derived from it follows."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.devices.describe.description import Point
from lumina_twisted.devices.describe.settings import (
    ONLY_IN_A_FILE,
    DeviceChanges,
    DeviceSettings,
    PointSettings,
    ValuesSettings,
    take_over,
)
from lumina_twisted.devices.store import StoreSettings
from lumina_twisted.errors import ConfigError
from lumina_twisted.modbus.values.codec import ValueCodec
from lumina_twisted.schema import structure


class Derived(SynchronousTestCase):
    """Settings that come from other settings."""

    def test_what_clients_may_change_of_a_device(self) -> None:
        changes, settings = attrs.fields_dict(DeviceChanges), attrs.fields_dict(DeviceSettings)
        self.assertEqual({*changes, *ONLY_IN_A_FILE}, {*settings, "points"})
        for key in changes.keys() - {"points"}:
            self.assertEqual(changes[key].metadata, settings[key].metadata, key)
        self.assertEqual(structure({}, DeviceChanges), DeviceChanges())
        self.assertEqual(structure({"poll": 5, "unit": 9}, DeviceChanges), DeviceChanges(poll=5.0, unit=9))

    def test_their_bounds(self) -> None:
        for key, value in (("unit", 256), ("poll", -1), ("most", 126), ("word_order", "middle"), ("port", 5)):
            error = self.assertRaises(ConfigError, structure, {key: value}, DeviceChanges, "hall")
            self.assertTrue(error.faults[0].startswith(f"hall.{key}: expected "), error.faults)

    def test_the_store_keeps_what_the_values_say(self) -> None:
        settings = ValuesSettings(history=7, history_rows=9, save_every=2.0)
        kept = take_over(StoreSettings, settings, path="x.db")
        self.assertEqual(kept, StoreSettings(path="x.db", history=7, history_rows=9, save_every=2.0))
        self.assertEqual(take_over(StoreSettings, ValuesSettings(), path="x.db"), StoreSettings(path="x.db"))

    def test_a_point_and_its_codec_have_what_its_settings_say(self) -> None:
        made = PointSettings(address=5, type="i16", scale=0.1, low=2.0, writable=True, dead_band=0.5, summary="x")
        codec = take_over(ValueCodec, made)
        self.assertEqual((codec.type, codec.scale, codec.low), ("i16", 0.1, 2.0))
        point = take_over(Point, made, name="p", table="holding", codec=codec, poll=3.0)
        self.assertEqual((point.address, point.writable, point.dead_band, point.poll), (5, True, 0.5, 3.0))
