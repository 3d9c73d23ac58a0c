"""``docs/simulator.md`` shows only what works."""

from __future__ import annotations

import re
import tomllib

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.config.simulation import settings_from_data
from lumina_twisted.simulator.faults import KINDS
from tests.simulator.test_reference import ROOT

PAGE = (ROOT / "docs" / "simulator.md").read_text()


class PageTests(SynchronousTestCase):
    """Its snippets and its table."""

    def test_snippets(self) -> None:
        """Each TOML snippet is a simulation without a fault."""
        found = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
        self.assertGreater(len(found), 4)
        for text in found:
            self.assertTrue(settings_from_data(tomllib.loads(text)).buses, text)

    def test_kinds(self) -> None:
        """Each kind of fault is in the table, with its keys and their defaults."""
        rows = dict(re.findall(r"^\| `(\w+)` \| .*? \| (.*)\|$", PAGE, re.MULTILINE))
        self.assertEqual(list(rows), list(KINDS))
        for kind, cls in KINDS.items():
            told = dict(re.findall(r"`(\w+)`(?: \((.*?)\))?", rows[kind]))
            made = cls(rate=1.0)
            own = {name: getattr(made, name) for name in cls.__annotations__}
            self.assertEqual(list(told), list(own), kind)
            for name, default in own.items():
                expected = None if told[name] == "" else tomllib.loads(f"value = {told[name]}")["value"]
                self.assertEqual(expected, default, f"{kind}.{name}")
