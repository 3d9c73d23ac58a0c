"""Rules, from the configuration to what a client is told; what they forbid never reaches a bus."""

from __future__ import annotations

import tomllib
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.access.caller import Caller, Terms
from lumina_twisted.config.configuration import Draft
from lumina_twisted.config.listeners import front_ends
from lumina_twisted.config.sources import add_document, add_port_argument
from lumina_twisted.errors import ConfigError, NotAllowed, error_from_reason
from lumina_twisted.framing.mbap import Adu
from lumina_twisted.framing.mbap import encode_adu as mbap
from lumina_twisted.framing.rtu import encode_adu
from lumina_twisted.frontends.gateway import exception_code
from lumina_twisted.helpers.commands import worth_retrying
from lumina_twisted.lineproto import format_error, reason_of
from lumina_twisted.ports.service import PortService
from lumina_twisted.ports.settings import PortSettings
from lumina_twisted.testing import MemoryListener
from tests.bus.test_merging import MergeCase
from tests.line_listener import STAMP, Listener, command

ME = Caller("me")

READ = bytes.fromhex("0300050001")
WRITE = bytes.fromhex("0600050007")
REFUSED = "not on boiler, setting holding register 5 of unit 1 to 7 is denied by the rule 'write *'"


class PortCase(SynchronousTestCase):
    """A port whose bus only remembers what it is asked."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.logged: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)
        self.make(deny=("write *",))

    def make(self, **settings: Any) -> None:
        made = PortSettings(path="/dev/nowhere", open="request", **settings)
        self.port: Any = PortService("boiler", made, self.clock, self.clock.seconds)
        self.asked: list[Any] = []
        self.patch(self.port._bus, "submit", lambda request, now: self.asked.append(request))

    def listener(self, protocol: str, **options: Any) -> MemoryListener:
        front_end: Any = front_ends()[protocol]
        return MemoryListener(front_end, self.port, **options)


class Ports(PortCase):
    """The one place where they are asked."""

    def test_forbidden(self) -> None:
        error = self.failureResultOf(self.port.request(ME, 1, WRITE, Terms(1.0)), NotAllowed).value
        self.assertEqual(str(error), REFUSED)
        self.assertEqual((error.unit, error.function_code, error.frame), (1, 6, WRITE))
        self.assertEqual(self.asked, [])

    def test_the_port_is_not_opened_for_it(self) -> None:
        self.port.startService()
        self.failureResultOf(self.port.request(ME, 1, WRITE, Terms(1.0)), NotAllowed)
        self.assertFalse(self.port.is_supervised)

    def test_allowed(self) -> None:
        self.port.request(ME, 1, READ, Terms(1.0))
        self.assertEqual([(one.unit, one.pdu) for one in self.asked], [(1, READ)])

    def test_the_log_is_told(self) -> None:
        self.port.request(ME, 1, WRITE, Terms(1.0)).addErrback(lambda _: None)
        (told,) = [one for one in self.logged if one.get("kind") == "not_allowed"]
        self.assertEqual(told["fold"], (1, 6, "not_allowed"))
        self.assertIn("register 5", told["log_format"].format(**told))

    def test_without_rules_nobody_is_asked(self) -> None:
        self.make()
        self.assertIsNone(self.port._rules)
        self.port.request(ME, 1, WRITE, Terms(1.0))
        self.assertEqual(len(self.asked), 1)


class Fronts(PortCase):
    """What clients are told."""

    def test_modbus_tcp(self) -> None:
        client = self.listener("modbus-tcp").connect()
        self.assertEqual(client.send(mbap(7, 1, WRITE)), mbap(*Adu(7, 1, b"\x86\x01")))
        client.send(mbap(8, 1, READ))
        self.assertEqual(len(self.asked), 1)

    def test_rtu(self) -> None:
        client = self.listener("rtu-tcp").connect()
        self.assertEqual(client.send(encode_adu(1, WRITE)), encode_adu(1, b"\x86\x01"))

    def test_broadcast(self) -> None:
        self.make(deny=("write 5",))
        client = self.listener("modbus-tcp", broadcast="reply").connect()
        self.assertEqual(client.send(mbap(7, 0, WRITE)), mbap(7, 0, b"\x86\x01"))
        self.assertEqual(self.asked, [])

    def test_line(self) -> None:
        said = Listener(self.port).say(command(b"\1" + WRITE, command_id="k1", port="boiler"))
        self.assertEqual(said, [f"k1:ERROR:not_allowed {REFUSED}:{STAMP:.6f}\n".encode()])

    def test_old_clients_are_told_to_stop(self) -> None:
        said = Listener(self.port, dialect="v1").say(command(b"\1" + WRITE, command_id="k1", port="boiler"))
        self.assertEqual(said, [b"k1:MISMATCH\n"])

    def test_clients_know_it(self) -> None:
        error = error_from_reason(reason_of(NotAllowed(REFUSED)))
        self.assertIs(type(error), NotAllowed)
        self.assertEqual(str(error), REFUSED)
        self.assertFalse(worth_retrying(error))
        self.assertEqual(exception_code(error), 1)

    def test_the_longest_sentence_is_not_cut(self) -> None:
        self.make(allow=("read 1",))
        error = self.failureResultOf(self.port.request(ME, 200, bytes.fromhex("06FFFFFFFF"), Terms(1.0))).value
        said = format_error(b"3_thc_010300000001_20241124170450_aB", reason_of(error), STAMP)
        self.assertIn(b"that allow something", said)


class Blocks(MergeCase):
    """A block reads nothing along that may not be read."""

    def test_a_hole(self) -> None:
        for deny, blocks in (((), [(0, 7)]), (("read 1 holding 3",), [(0, 3), (4, 3)])):
            self.make(merge_hole=2, deny=deny)
            requests = [self.ask(0, 3), self.ask(4, 2), self.ask(5, 2)]
            self.finish()
            self.assert_right(*requests)
            self.assertEqual(self.spans(), blocks)


class Configured(SynchronousTestCase):
    """The keys ``allow`` and ``deny``."""

    def draft(self, rules: str) -> Draft:
        draft = Draft()
        add_document(draft, tomllib.loads(f'[ports.boiler]\npath = "/dev/ttyUSB0"\n{rules}'))
        return draft

    def test_right(self) -> None:
        made = self.draft('allow = ["read *", "write 2 coil 0-7,16"]\ndeny = ["any 9"]').finish().ports["boiler"]
        self.assertEqual((made.allow, made.deny), (("read *", "write 2 coil 0-7,16"), ("any 9",)))
        self.assertTrue(made.rules)
        self.assertFalse(PortSettings(path="/dev/ttyUSB0").rules)

    def test_wrong(self) -> None:
        draft = self.draft('allow = ["read *", "read holding"]\ndeny = ["wirte 1", "write 1 input"]')
        faults = self.assertRaises(ConfigError, draft.finish).faults
        self.assertEqual(
            [one.partition(";")[0] for one in faults], [
                "ports.boiler.allow[1]: 'read holding' is no rule: 'holding' is no unit, which is a number from 0 to"
                " 255, or two of them as 0-255",
                "ports.boiler.deny[0]: 'wirte 1' is no rule: it begins with one of read, write, any, function",
                "ports.boiler.deny[1]: 'write 1 input' is no rule: nobody can write input registers",
            ],
        )
        self.assertTrue(all("; write for example '" in one for one in faults))

    def test_no_list(self) -> None:
        faults = self.assertRaises(ConfigError, self.draft('allow = "read *"').finish).faults
        self.assertEqual(faults, ("ports.boiler.allow: expected a list in brackets, got 'read *'",))

    def test_on_a_command_line(self) -> None:
        draft = Draft()
        add_port_argument(draft, "boiler=/dev/ttyUSB0:allow=read * holding 0-99,write 2 coil 0-7:deny=any 9")
        made = draft.finish().ports["boiler"]
        self.assertEqual((made.allow, made.deny), (("read * holding 0-99", "write 2 coil 0-7"), ("any 9",)))
