"""``etc/simulation.toml`` holds every setting with its meaning, unit and default, and works as it is."""

from __future__ import annotations

import pathlib
import re
import time
import tomllib
from collections.abc import Iterator
from typing import Any

import attrs
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from lumina_twisted.config.simulation import settings_from_toml
from lumina_twisted.framing.rtu import decode_adu, encode_adu
from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.pdu import decode_reply
from lumina_twisted.simulator import settings, values
from lumina_twisted.simulator.device import Range
from lumina_twisted.simulator.faults import KINDS
from lumina_twisted.simulator.settings import simulation_settings
from lumina_twisted.simulator.simulation import Simulation
from tests.test_simulator import Gateway

ROOT = pathlib.Path(__file__).parent.parent.parent
FILE = ROOT / "etc" / "simulation.toml"
TABLES = {
    "buses", "log", "units", "faults", "masters", "identity", "values", "files", "fifo_queues", "bits",
    *settings.TABLES,
}
"""Keys that are tables of their own."""
CLASSES = (
    settings.SimulationSettings, settings.WireLogSettings, settings.SimulatedBusSettings,
    settings.OtherMasterSettings, settings.SimulatedUnitSettings, settings.IdentitySettings, settings.TableSettings,
    Range,
    *values.VALUE_KINDS.values(), *KINDS.values(),
)


def keys() -> Iterator[tuple[str, str, Any]]:
    """Name, comment and value of each key that has a comment; nothing for one that is not given by default."""
    for comment, line in re.findall(r"((?:^# .*\n)+)^(#?\w+ = .*)$", FILE.read_text(), re.MULTILINE):
        name, _, rest = line.lstrip("#").partition(" = ")
        value = None if "default: not given" in rest else tomllib.loads(f"value = {rest}")["value"]
        yield name, " ".join(comment.replace("# ", "").split()), (value,) if line.startswith("#") else ()


class ReferenceTests(TestCase):
    """The file and the settings classes agree."""

    timeout = 20

    def test_every_key(self) -> None:
        told = list(keys())
        for cls in CLASSES:
            for one in attrs.fields(cls):
                if one.name in TABLES:
                    continue
                unit = one.metadata["unit"]
                comment = one.metadata["doc"] + (f" [{unit}]" if unit else "")
                found = [value for name, text, value in told if (name, text) == (one.name, comment)]
                self.assertTrue(found, f"{cls.__name__}.{one.name}: {comment}")
                default = list(one.default) if isinstance(one.default, tuple) else one.default
                self.assertLessEqual({repr(value) for value in found} - {"()"}, {repr((default,))}, one.name)

    def test_every_kind(self) -> None:
        text = FILE.read_text()
        for kind in (*KINDS, *values.VALUE_KINDS):
            self.assertTrue(f'kind = "{kind}"' in text or kind == "constant", kind)

    def test_defaults_are_accepted(self) -> None:
        """With every `#` of a key taken away it is a simulation still."""
        made = simulation_settings(tomllib.loads(re.sub(r"^#(?=\w+ = )", "", FILE.read_text(), flags=re.MULTILINE)))
        self.assertEqual(list(made.buses), ["heating", "solar"])

    async def test_it_runs(self) -> None:
        simulation = Simulation(settings_from_toml(FILE), reactor, time.monotonic)
        self.addCleanup(simulation.stopService)
        simulation.startService()
        gateway = Gateway(simulation.buses["heating"].path, 19200)
        self.addCleanup(gateway.close)
        request = pdu.ReadHoldingRegistersRequest(0, 1)
        _, reply = decode_adu(await gateway.ask(encode_adu(1, request.encode()), 7))
        self.assertEqual(decode_reply(reply), pdu.ReadHoldingRegistersReply((215,)))
