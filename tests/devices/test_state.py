"""DeviceStateManager: what is a change, who is told, and the mission's calls in both worlds."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.devices.state import RESTORED
from lumina_twisted.errors import RequestError
from lumina_twisted.helpers import DeviceStateManager
from lumina_twisted.modbus.values.codec import Value
from lumina_twisted.valueproto.reading import Quality, Reading


def good(value: Value, time: float = 1.0) -> Reading:
    return Reading(value, Quality.GOOD, time)


class States(SynchronousTestCase):
    """One manager, and all that it tells."""

    def setUp(self) -> None:
        self.told: list[tuple[str, str, Reading]] = []
        self.states = DeviceStateManager(dead_bands={"boiler.flow": 0.5, "boiler.step": 0.1}, history=3)
        self.states.watch(self.tell)

    def tell(self, device: str, point: str, reading: Reading) -> None:
        self.told.append((device, point, reading))

    def values(self, *values: Value, point: str = "flow") -> list[Any]:
        """What was told of these values, one after the other."""
        self.told.clear()
        for value in values:
            self.states.update("boiler", {point: good(value)})
        return [reading.value for _, _, reading in self.told]


class Changes(States):
    """Which readings are changes."""

    def test_the_first_and_each_other_value(self) -> None:
        self.states.update("boiler", {"pump": good(True), "mode": good("eco")})
        self.states.update("boiler", {"pump": good(True, 2), "mode": good("off", 2)})
        self.assertEqual(
            self.told,
            [("boiler", "pump", good(True)), ("boiler", "mode", good("eco")), ("boiler", "mode", good("off", 2))],
        )

    def test_what_is_no_change_refreshes_quietly(self) -> None:
        self.assertEqual(self.values(20.0, 20.4), [20.0])
        self.states.update("boiler", {"flow": good(20.4, 9)})
        self.assertEqual(self.states.reading("boiler", "flow"), good(20.4, 9))
        self.assertEqual(self.states.history("boiler", "flow"), (good(20.0),))

    def test_the_dead_band_is_measured_from_what_was_told(self) -> None:
        self.assertEqual(self.values(20.0, 20.3, 20.6, 20.9, 21.2, 20.7), [20.0, 20.6, 21.2])

    def test_a_change_by_just_the_dead_band_is_none(self) -> None:
        """Nor is one that only a float makes more."""
        self.assertGreater(1.1 - 1.0, 0.1)
        self.assertEqual(self.values(1.0, 1.1, 0.9, 1.11, point="step"), [1.0, 1.11])
        self.assertEqual(self.values(1000.1, 1000.0, 1000.2, 1000.3, point="step"), [1000.1, 1000.3])

    def test_not_a_number(self) -> None:
        told = self.values(20.0, math.nan, math.nan, 20.0, 20.1)
        self.assertEqual(list(map(str, told)), ["20.0", "nan", "20.0"])
        self.assertEqual(self.values(math.inf, math.inf, -math.inf), [math.inf, -math.inf])

    def test_a_word_for_a_number(self) -> None:
        self.assertEqual(self.values(20, "off", 20, ("a",), ("a", "b")), [20, "off", 20, ("a",), ("a", "b")])

    def test_dead_bands_that_change(self) -> None:
        bands = {"boiler.flow": 1.0}
        self.states.dead_bands = bands
        self.assertEqual(self.values(1.0, 2.0), [1.0])
        bands["boiler.flow"] = 0.0
        self.assertEqual(self.values(1.5), [1.5])

    def test_quality_and_why(self) -> None:
        self.values(20.0)
        for reading in (
            Reading(20.0, Quality.STALE, 1.0, "late"), Reading(20.0, Quality.BAD, 1.0, "late"),
            Reading(20.0, Quality.BAD, 1.0, "no reply"), Reading(20.0, Quality.BAD, 1.0, "no reply"), good(20.0),
        ):
            self.states.update("boiler", {"flow": reading})
        self.assertEqual([reading.why for _, _, reading in self.told], ["", "late", "late", "no reply", ""])

    def test_a_quality_change_tells_the_value_of_now(self) -> None:
        """And the dead band goes on from there."""
        self.values(20.0, 20.4)
        self.states.update("boiler", {"flow": Reading(20.4, Quality.STALE, 1.0, "late")})
        self.states.update("boiler", {"flow": good(20.4)})
        self.assertEqual(self.values(20.0, 19.8), [19.8])

    def test_never_read(self) -> None:
        self.assertIsNone(self.states.reading("boiler", "flow"))
        self.assertEqual((self.states.state("boiler"), self.states.history("boiler", "flow")), ({}, ()))
        unread = Reading(None, Quality.BAD, None, "no reply")
        for _ in range(2):
            self.states.update("boiler", {"flow": unread})
        self.assertEqual(self.told, [("boiler", "flow", unread)])
        self.assertEqual(self.states.state("boiler"), {"flow": unread})

    def test_history_is_bounded(self) -> None:
        self.values(1.0, 2.0, 3.0, 4.0)
        self.assertEqual([one.value for one in self.states.history("boiler", "flow")], [2.0, 3.0, 4.0])

    @given(st.lists(st.floats(-100, 100)), st.floats(0, 10))
    def test_nobody_is_off_by_more_than_the_dead_band(self, values: list[float], band: float) -> None:
        states = DeviceStateManager(dead_bands={"d.p": band})
        told: list[Any] = []
        states.watch(lambda device, point, reading: told.append(reading.value))
        for value in values:
            states.update("d", {"p": good(value)})
            self.assertLessEqual(abs(told[-1] - value), band + 1e-11)
        self.assertTrue(all(abs(new - old) > band for old, new in pairwise(told)))


class Watching(States):
    """Who is told of what."""

    def test_by_device_and_point(self) -> None:
        told: dict[str, list[str]] = {}
        for key, device, point in (
            ("one", "boiler", "flow"), ("device", "boiler", None), ("point", None, "flow"), ("none", "tank", "flow"),
        ):
            told[key] = []
            self.states.watch(lambda d, p, _, key=key: told[key].append(f"{d}.{p}"), device, point)  # type: ignore[misc]
        self.states.update("boiler", {"flow": good(1), "back": good(2)})
        self.states.update("pump", {"flow": good(3)})
        self.assertEqual(
            told,
            {
                "one": ["boiler.flow"], "device": ["boiler.flow", "boiler.back"], "point": ["boiler.flow", "pump.flow"],
                "none": [],
            },
        )

    def test_end(self) -> None:
        end = self.states.watch(self.tell, "boiler", "flow")
        self.values(1.0)
        self.assertEqual(len(self.told), 2)
        end()
        end()
        self.assertEqual(self.values(2.0), [2.0])
        self.assertEqual(list(self.states._watchers), [(None, None)])

    def test_all_are_taken_before_one_is_told(self) -> None:
        seen: list[Any] = []
        self.states.watch(lambda *_: seen.append(self.states.get_state("boiler")), "boiler", "flow")
        self.states.update("boiler", {"flow": good(1), "back": good(2)})
        self.assertEqual(seen, [{"flow": 1, "back": 2}])

    def test_an_observer_that_raises_harms_nobody(self) -> None:
        states = DeviceStateManager()
        states.watch(lambda *_: 1 / 0, "boiler", "flow")
        states.watch(self.tell, "boiler", "flow")
        states.update("boiler", {"flow": good(1)})
        self.assertEqual(len(self.told), 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_an_observer_that_makes_the_next_change(self) -> None:
        """Everybody sees the last value last."""
        self.states = DeviceStateManager()
        self.states.watch(
            lambda device, point, reading: self.states.update("boiler", {"flow": good(2), "back": good(2)})
        )
        self.states.watch(self.tell)
        self.states.update("boiler", {"flow": good(1), "back": good(1)})
        self.assertEqual(
            [(point, reading.value) for _, point, reading in self.told],
            [("flow", 1), ("back", 1), ("flow", 2), ("back", 2)],
        )

    def test_who_has_ended_is_not_told_any_more(self) -> None:
        ends: list[Callable[[], None]] = []
        self.states.watch(lambda *_: [end() for end in ends], "boiler", "flow")
        ends.append(self.states.watch(lambda *_: self.fail("told"), "boiler", "flow"))
        self.values(1.0)

    def test_500_watchers_of_100_points(self) -> None:
        """They cost a point nothing that is not theirs, and each sees every last value."""
        points = [f"p{number}" for number in range(100)]
        last: list[dict[str, Any]] = [{} for _ in range(500)]
        for mine in last:
            for point in points:
                self.states.watch(lambda d, p, r, mine=mine: mine.__setitem__(p, r.value), "boiler", point)  # type: ignore[misc]
        for value in range(3):
            self.states.update("boiler", dict.fromkeys(points, good(value)))
        self.assertEqual(last, [dict.fromkeys(points, 2)] * 500)

    def test_changes_are_handed_on_to_be_kept(self) -> None:
        kept: list[Any] = []
        states = DeviceStateManager(keep=lambda *change: kept.append(change))
        for value in (1, 1, 2):
            states.update("boiler", {"flow": good(value)})
        self.assertEqual(kept, [("boiler", "flow", good(1)), ("boiler", "flow", good(2))])


class Restoring(States):
    """What was known before a restart."""

    def test_it_is_stale_and_nobody_is_told(self) -> None:
        key = ("boiler", "flow")
        self.states.restore({key: good(2, 9.0), ("boiler", "none"): Reading(None, Quality.BAD, None, "no reply")}, {
            key: [good(1, 5.0), good(2, 6.0)],
        })
        stale = Reading(2, Quality.STALE, 9.0, RESTORED)
        self.assertEqual(self.states.state("boiler"), {"flow": stale})
        self.assertEqual(self.states.history("boiler", "flow"), (good(1, 5.0), good(2, 6.0)))
        self.assertEqual(list(self.states.readings()), [("boiler", "flow", stale)])
        self.assertEqual(self.told, [])
        self.states.update("boiler", {"flow": good(2, 7.0)})
        self.assertEqual(self.told, [("boiler", "flow", good(2, 7.0))])

    def test_what_has_been_read_since_stays(self) -> None:
        self.values(3.0)
        self.states.restore({("boiler", "flow"): good(2)}, {("boiler", "flow"): [good(0), good(1), good(2)]})
        self.assertEqual(self.states.get_state("boiler"), {"flow": 3.0})
        self.assertEqual(self.states.history("boiler", "flow"), (good(1), good(2), good(3.0)))


class TheMissionsCalls(SynchronousTestCase):
    """Alone, in memory, without a reactor."""

    def test_what_no_database_can_keep(self) -> None:
        """It would be lost, and what waits beside it too."""
        states = DeviceStateManager()
        for value in (2**64 - 1, -(2**63)):
            self.successResultOf(states.update_state("device1", {"total": value}))
        for value in (2**64, -(2**63) - 1, 10**5000):
            error = self.failureResultOf(states.update_state("device1", {"total": value}), RequestError)
            self.assertIn("device1.total: a whole number has 64 bits", str(error.value))

    def test_as_printed(self) -> None:
        """But for its imports."""
        new_state_data = {"temperature": 21.5, "pump": True, "mode": "eco", "alarms": ["door", "fan"], "fault": None}

        async def program() -> DeviceStateManager:
            state_manager = DeviceStateManager(stamp=lambda: 7.0)
            await state_manager.update_state("device1", new_state_data)
            return state_manager

        for states in (asyncio.run(program()), self.successResultOf(Deferred.fromCoroutine(program()))):
            self.assertEqual(states.get_state("device1"), {**new_state_data, "alarms": ("door", "fan")})
            self.assertEqual(states.reading("device1", "temperature"), good(21.5, 7.0))
            self.assertEqual(states.state("device1")["fault"].quality, Quality.STALE)
        self.assertEqual(states.get_state("device2"), {})

    def test_readings_are_taken_as_they_are(self) -> None:
        states = DeviceStateManager()
        late = Reading(20.0, Quality.STALE, 3.0, "late")
        self.assertIsNone(self.successResultOf(states.update_state("device1", {"temperature": late})))
        self.assertEqual(states.state("device1"), {"temperature": late})

    def test_history_of_a_device(self) -> None:
        times = iter((1.0, 2.0, 3.0, 4.0))
        states = DeviceStateManager(stamp=lambda: next(times))
        for state in ({"a": 1}, {"b": 1}, {"a": 1, "b": 2}, {"a": 2}):
            states.update_state("device1", state)
        self.assertEqual(
            states.get_state_history("device1"),
            [("a", good(1, 1.0)), ("b", good(1, 2.0)), ("b", good(2, 3.0)), ("a", good(2, 4.0))],
        )
        states.update("device1", {"a": Reading(2, Quality.BAD, None, "no reply")})
        self.assertEqual(states.get_state_history("device1")[-1][1].why, "no reply")
        self.assertEqual(states.get_state_history("device2"), [])

    def test_no_values(self) -> None:
        """Nothing of a state that has a wrong one is taken."""
        states = DeviceStateManager()
        for wrong, sentence in (
            ({"a": 1, "b": {"c": 1}}, "device1.b: expected true or false, a number, a text or a list of texts, got"),
            ({"a": [1]}, "device1.a: expected"), (5, "the state of device1: expected a dict of values by point, got 5"),
        ):
            failed = self.failureResultOf(states.update_state("device1", wrong), RequestError)  # type: ignore[arg-type]
            self.assertIn(sentence, failed.getErrorMessage())
            with self.assertRaises(RequestError):
                asyncio.run(self.awaited(states, wrong))
        self.assertEqual(states.get_state("device1"), {})

    async def awaited(self, states: DeviceStateManager, state: Any) -> None:
        await states.update_state("device1", state)
