"""DeviceConfigManager: schemas and their faults, what is applied and kept, and the mission's calls in both worlds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.devices.store.database import Configuration
from lumina_twisted.errors import ConfigError
from lumina_twisted.helpers import DeviceConfigManager
from lumina_twisted.schema import Between, required, setting


@frozen(kw_only=True)
class HeaterSettings:
    """As those of the service are."""

    poll: Annotated[float, Between(0, 60)] = required("how often it is read", unit="s")
    mode: Literal["eco", "full"] = setting("eco", "how it heats")

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.mode == "full" and self.poll > 10:
            yield "poll", "expected 10 or less where mode is full"


TABLE: dict[str, Any] = {
    "baudrate": int,
    "name": {"type": "text", "default": "none", "doc": "what people call it"},
    "parity": {"choices": ["none", "even"], "default": "none"},
    "limits": {"low": {"type": float, "low": 0, "high": 100}, "high": {"type": "float", "required": False, "high": 9}},
    "alarms": {"type": list[int], "required": False},
    "line": {"timeout": {"type": "number", "default": 0.5, "low": 0.1}},
}


class Schemas(SynchronousTestCase):
    """What is refused, and how it is told."""

    def checked(self, schema: Any, config: Any) -> Any:
        configs = DeviceConfigManager()
        configs.register_device_config("heater", schema)
        self.successResultOf(configs.set_device_config("boiler", "heater", config))
        return configs.get_device_config("boiler")

    def faults(self, schema: Any, config: Any) -> tuple[str, ...]:
        configs = DeviceConfigManager()
        configs.register_device_config("heater", schema)
        failed = self.failureResultOf(configs.set_device_config("boiler", "heater", config), ConfigError)
        self.assertIsNone(configs.get_device_config("boiler"))
        faults: tuple[str, ...] = failed.value.faults
        return faults

    def test_settings_class(self) -> None:
        self.assertEqual(self.checked(HeaterSettings, {"poll": 5}), HeaterSettings(poll=5.0))
        self.assertEqual(
            self.faults(HeaterSettings, {"poll": 61, "mod": "eco"}),
            ("boiler.poll: expected 0 to 60, got 61.0", "boiler.mod: unknown key; did you mean 'mode'?"),
        )
        self.assertEqual(self.faults(HeaterSettings, {}), ("boiler.poll: this key is required",))
        self.assertEqual(
            self.faults(HeaterSettings, {"poll": 11, "mode": "full"}),
            ("boiler.poll: expected 10 or less where mode is full",),
        )

    def test_table(self) -> None:
        self.assertEqual(
            self.checked(TABLE, {"baudrate": 9600, "limits": {"low": 1}, "alarms": [1, 2]}),
            {
                "baudrate": 9600, "name": "none", "parity": "none", "limits": {"low": 1.0}, "alarms": (1, 2),
                "line": {"timeout": 0.5},
            },
        )

    def test_all_faults_of_a_table(self) -> None:
        config = {
            "baudrat": 9600, "name": 5, "parity": "odd", "limits": {"low": 101, "high": 10}, "alarms": ["x"],
            "line": {"timeout": 0.05},
        }
        self.assertEqual(
            self.faults(TABLE, config),
            (
                "boiler.baudrat: unknown key; did you mean 'baudrate'?",
                "boiler.baudrate: this key is required",
                "boiler.name: expected a text in quotes, got 5",
                "boiler.parity: expected one of 'none', 'even', got 'odd'",
                "boiler.limits.low: expected 0 to 100, got 101",
                "boiler.limits.high: expected 9 or less, got 10",
                "boiler.alarms[0]: expected a whole number, got 'x'",
                "boiler.line.timeout: expected 0.1 or more, got 0.05",
            ),
        )
        self.assertEqual(
            self.faults(TABLE, {"line": 5}),
            (
                "boiler.baudrate: this key is required", "boiler.limits.low: this key is required",
                "boiler.line: expected a table, got 5",
            ),
        )
        self.assertEqual(self.faults(TABLE, 5), ("boiler: expected a table, got 5",))
        self.assertEqual(
            self.faults({"poll": {"type": int, "doc": "seconds between two reads"}}, {}),
            ("boiler.poll: this key is required: seconds between two reads",),
        )

    def test_each_type(self) -> None:
        for kind, value in (
            (int, 5), ("int", 5), ("integer", 5), (float, 0.5), ("number", 0.5), (str, "x"), ("string", "x"),
            (bool, True), ("boolean", False), (float | None, None), (Literal["a", 1], 1), (HeaterSettings, None),
        ):
            given = {"poll": 5} if value is None and kind is HeaterSettings else value
            made = self.checked({"key": kind}, {"key": given})["key"]
            self.assertEqual(made, HeaterSettings(poll=5) if kind is HeaterSettings else value)
        for kind, value, sentence in (
            (int, True, "expected a whole number, got True"), (int, 5.0, "expected a whole number, got 5.0"),
            (float, "5", "expected a number, got '5'; take the quotes away: 5"),
            (bool, 1, "expected true or false, got 1"),
            (str, b"x", "expected a text in quotes, got b'x'"),
        ):
            self.assertEqual(self.faults({"key": kind}, {"key": value}), (f"boiler.key: {sentence}",))

    def test_what_is_no_schema(self) -> None:
        for schema, faults in (
            (5, ("heater: expected a settings class or a table of keys, got 5",)),
            (
                {"a": 5, "b": {"c": "u16", "d": int}},
                (
                    "heater.a: expected a type (bool, boolean, int, integer, float, number, str, string, text, or"
                    " list[int]) or a table of keys, got 5",
                    "heater.b.c: expected a type (bool, boolean, int, integer, float, number, str, string, text, or"
                    " list[int]) or a table of keys, got 'u16'",
                ),
            ),
            ({"a": {"type": int, "lowest": 5}}, ("heater.a.lowest: unknown key; did you mean 'low'?",)),
            ({"a": {"type": int, "default": "x"}}, ("heater.a.default: expected a whole number, got 'x'",)),
            ({"a": {"type": int, "default": 1, "low": 2}}, ("heater.a.default: expected 2 or more, got 1",)),
            ({"a": {"type": str, "low": 2}}, ("heater.a: low and high are for the types int and float",)),
            ({"a": {"choices": []}}, ("heater.a.choices: expected a list of texts or numbers, got []",)),
        ):
            failed = self.assertRaises(ConfigError, DeviceConfigManager().register_device_config, "heater", schema)
            self.assertEqual([one.partition("; known")[0] for one in failed.faults], list(faults))

    def test_unknown_type(self) -> None:
        configs = DeviceConfigManager()
        configs.register_device_config("heater", {})
        failed = self.failureResultOf(configs.set_device_config("boiler", "header", {}), ConfigError)
        self.assertEqual(failed.value.faults, ("boiler: there is no device type 'header'; did you mean 'heater'?",))

    def test_what_no_file_can_hold(self) -> None:
        failed = self.faults({"key": dict[str, Any]}, {"key": {"a": object()}})
        self.assertIn("boiler: expected plain data, as a file has it", failed[0])


class Disk:
    """Keeps configurations, when the test wants it."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self.result: Deferred[None] = succeed(None)

    def save_configuration(self, device: str, type_: str, config: Any) -> Deferred[None]:
        return self.result.addCallback(lambda _: self.kept.update({device: (type_, config)}))

    def remove_configuration(self, device: str) -> Deferred[None]:
        return self.result.addCallback(lambda _: self.kept.pop(device, None) and None)


class Applying(SynchronousTestCase):
    """Checked, applied, kept; or as it was."""

    def setUp(self) -> None:
        self.applied: list[Any] = []
        self.outcome: Any = None
        self.disk = Disk()
        self.configs = DeviceConfigManager(apply=self.apply, store=self.disk)
        self.configs.register_device_config("heater", {"poll": int})

    def apply(self, *given: Any) -> Any:
        self.applied.append(given)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def set(self, poll: Any) -> Any:
        return self.configs.set_device_config("boiler", "heater", {"poll": poll})

    def test_in_order(self) -> None:
        applying: Deferred[None] = Deferred()
        self.outcome = applying
        self.disk.result = Deferred()
        done = self.set(5)
        self.assertEqual(self.applied, [("boiler", "heater", {"poll": 5})])
        self.assertEqual((self.disk.kept, self.configs.get_device_config("boiler")), ({}, None))
        applying.callback(None)
        self.assertNoResult(done)
        self.disk.result.callback(None)
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual(self.disk.kept, {"boiler": ("heater", {"poll": 5})})
        self.assertEqual(self.configs.get_device_config("boiler"), {"poll": 5})
        self.assertEqual(self.configs.given_device_config("boiler"), Configuration("heater", {"poll": 5}))

    def test_a_wrong_one_is_not_applied(self) -> None:
        self.failureResultOf(self.set("x"), ConfigError)
        self.assertEqual((self.applied, self.disk.kept), ([], {}))

    def test_one_that_cannot_be_applied_is_not_kept(self) -> None:
        for outcome in (ValueError("no"), fail(ValueError("no")), self.refuse()):
            self.outcome = outcome
            self.failureResultOf(self.set(5), ValueError)
            self.assertEqual((self.disk.kept, self.configs.get_device_config("boiler")), ({}, None))

    async def refuse(self) -> None:
        raise ValueError("no")

    def test_one_that_cannot_be_kept_is_taken_back(self) -> None:
        self.disk.result = fail(ConfigError(["boiler: cannot be kept"]))
        self.failureResultOf(self.set(5), ConfigError)
        self.assertEqual(self.applied, [("boiler", "heater", {"poll": 5}), ("boiler", "heater", None)])
        self.disk.result = succeed(None)
        self.successResultOf(self.set(6))
        self.disk.result = fail(ConfigError(["boiler: cannot be kept"]))
        self.failureResultOf(self.set(7), ConfigError)
        self.assertEqual([config for _, _, config in self.applied[-2:]], [{"poll": 7}, {"poll": 6}])
        self.assertEqual(self.configs.get_device_config("boiler"), {"poll": 6})

    def test_one_whose_caller_leaves_is_taken_back_on_the_disk_too(self) -> None:
        """It may be there by then."""
        for before in ({}, {"boiler": ("heater", {"poll": 6})}):
            if before:
                self.disk.result = succeed(None)
                self.successResultOf(self.set(6))
            writing: Deferred[None] = Deferred()
            self.disk.result = writing
            done = self.set(7)
            self.disk.result = succeed(None)
            self.disk.kept["boiler"] = ("heater", {"poll": 7})
            done.cancel()
            self.failureResultOf(done, CancelledError)
            self.assertEqual(self.disk.kept, before)
            self.assertEqual(self.applied[-1][2], {"poll": 6} if before else None)

    def test_one_that_is_removed_while_its_caller_leaves(self) -> None:
        self.successResultOf(self.set(6))
        self.disk.result = Deferred()
        done = self.configs.remove_device_config("boiler")
        self.disk.result = succeed(None)
        self.disk.kept.clear()
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertEqual(self.disk.kept, {"boiler": ("heater", {"poll": 6})})
        self.assertEqual(self.configs.get_device_config("boiler"), {"poll": 6})

    def test_what_cannot_be_taken_back_is_logged(self) -> None:
        self.disk.result = Deferred()
        done = self.set(5)
        self.outcome = ValueError("no")
        self.disk.result.errback(ConfigError(["boiler: cannot be kept"]))
        self.failureResultOf(done, ConfigError)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_one_after_the_other(self) -> None:
        first: Deferred[None] = Deferred()
        self.outcome = first
        self.set(5)
        second = self.set(6)
        self.assertEqual(len(self.applied), 1)
        self.outcome = None
        first.callback(None)
        self.successResultOf(second)
        self.assertEqual(self.disk.kept["boiler"], ("heater", {"poll": 6}))

    def test_remove(self) -> None:
        self.successResultOf(self.configs.remove_device_config("boiler"))
        self.assertEqual(self.applied, [])
        self.successResultOf(self.set(5))
        self.successResultOf(self.configs.remove_device_config("boiler"))
        self.assertEqual(self.applied[-1], ("boiler", "heater", None))
        self.assertEqual((self.disk.kept, self.configs.get_device_config("boiler")), ({}, None))

    def test_the_callers_own_table_may_change(self) -> None:
        config = {"poll": 5}
        self.successResultOf(self.configs.set_device_config("boiler", "heater", config))
        config["poll"] = 6
        self.assertEqual(self.disk.kept["boiler"], ("heater", {"poll": 5}))

    def test_restore(self) -> None:
        """What is not in effect any more is told, and not deleted."""
        logged: list[str] = []
        observer = lambda event: logged.append(formatEvent(event))  # noqa: E731
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.successResultOf(self.set(1))
        done = self.configs.restore({
            "boiler": Configuration("heater", {"poll": 9}), "tank": Configuration("heater", {"poll": 2}),
            "pump": Configuration("drive", {}), "well": Configuration("heater", {"poll": "x"}),
        })
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual(self.configs.get_device_config("boiler"), {"poll": 1})
        self.assertEqual(self.configs.get_device_config("tank"), {"poll": 2})
        self.assertEqual(self.applied[1:], [("tank", "heater", {"poll": 2})])
        self.assertEqual(list(self.disk.kept), ["boiler"])
        self.assertEqual(
            [one.partition(" before the restart is not in effect: ")[2] for one in logged],
            [
                "pump: there is no device type 'drive'; there are heater",
                "well.poll: expected a whole number, got 'x'",
            ],
        )


class TheMissionsCalls(SynchronousTestCase):
    """In both worlds."""

    def test_as_printed(self) -> None:
        """But for its imports."""
        config_schema = {"baudrate": int}
        config_data = {"baudrate": 9600}

        async def program() -> DeviceConfigManager:
            config_manager = DeviceConfigManager()
            config_manager.register_device_config("device_type1", config_schema)
            await config_manager.set_device_config("device1", "device_type1", config_data)
            return config_manager

        for configs in (asyncio.run(program()), self.successResultOf(Deferred.fromCoroutine(program()))):
            self.assertEqual(configs.get_device_config("device1"), config_data)

    def test_applied_in_asyncio(self) -> None:
        applied: list[Any] = []

        async def apply(*given: Any) -> None:
            await asyncio.sleep(0)
            applied.append(given)

        async def program() -> None:
            disk = Disk()
            configs = DeviceConfigManager(apply=apply, store=disk)
            configs.register_device_config("heater", {"poll": int})
            await asyncio.gather(*(configs.set_device_config("boiler", "heater", {"poll": n}) for n in range(3)))
            with self.assertRaises(ConfigError):
                await configs.set_device_config("boiler", "heater", {})
            self.assertEqual(disk.kept["boiler"], ("heater", {"poll": 2}))

        asyncio.run(program())
        self.assertEqual([config["poll"] for _, _, config in applied], [0, 1, 2])
