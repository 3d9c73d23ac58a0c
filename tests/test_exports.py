"""What other programs may import, and that both faces of the client are alike."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted import client, helpers
from lumina_twisted.client import aio

PUBLIC = (
    "client", "client.aio", "devices.interfaces", "frontends.line", "frontends.values", "helpers", "lineproto", "log",
    "modbus.pdu", "modbus.values.codec", "helpers.pooling", "testing",
)
HELPERS = {
    "CommandPrioritizer", "CommandValidator", "ConnectionPool", "DeviceConfigManager", "DeviceStateManager",
    "LuminaLogger", "PerformanceMonitor", "QueueAnalytics", "ResponseParser", "RetryManager",
}
ONLY_IN_ASYNCIO = {"changes"}
"""What is gone through by ``async for``."""


class Exports(SynchronousTestCase):
    """Every name in an ``__all__``."""

    def test_each_is_there(self) -> None:
        for name in PUBLIC:
            module = importlib.import_module(f"lumina_twisted.{name}")
            for one in module.__all__:
                self.assertTrue(hasattr(module, one), f"{name}.{one}")
            self.assertEqual(len(set(module.__all__)), len(module.__all__), name)

    def test_each_class_says_what_it_is(self) -> None:
        for name in PUBLIC:
            module = importlib.import_module(f"lumina_twisted.{name}")
            for one in module.__all__:
                made = getattr(module, one)
                if inspect.isclass(made) or inspect.isfunction(made):
                    self.assertTrue(inspect.getdoc(made), f"{name}.{one}")

    def test_the_missions_names(self) -> None:
        self.assertEqual(set(helpers.__all__), HELPERS)

    def test_no_other_name_of_the_client(self) -> None:
        self.assertRaises(AttributeError, getattr, client, "LuminaModbusCleint")


class Faces(SynchronousTestCase):
    """The client for Twisted and that for asyncio."""

    def test_the_same_names(self) -> None:
        self.assertEqual(client.__all__, aio.__all__)

    def test_the_same_methods(self) -> None:
        for name in client.__all__:
            here, there = getattr(client, name), getattr(aio, name)
            if here is not there and inspect.isclass(here):
                self.assertEqual(methods(here), methods(there) - ONLY_IN_ASYNCIO, name)

    def test_the_same_parameters(self) -> None:
        for name in client.__all__:
            here, there = getattr(client, name), getattr(aio, name)
            for method in methods(here) if here is not there and inspect.isclass(here) else ():
                self.assertEqual(parameters(here, method), parameters(there, method), f"{name}.{method}")


def methods(cls: type) -> set[str]:
    """Those that are public."""
    return {name for name, _ in inspect.getmembers(cls, callable) if not name.startswith("_")}


def parameters(cls: type, method: str) -> list[tuple[str, Any]]:
    """Their names and defaults."""
    return [(one.name, one.default) for one in inspect.signature(getattr(cls, method)).parameters.values()]
