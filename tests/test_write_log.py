"""Each write is one line of the log, through whatever front it comes: who, what, and what became of it."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import Logger, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.access.caller import Caller, Terms, caller_of
from lumina_twisted.config.listeners import front_ends
from lumina_twisted.devices.describe.description import Device
from lumina_twisted.devices.describe.settings import ValuesSettings
from lumina_twisted.devices.plant import Plant
from lumina_twisted.devices.state import DeviceStates
from lumina_twisted.errors import IllegalDataValue, OutcomeUnknown, PortClosed
from lumina_twisted.framing.mbap import encode_adu as mbap
from lumina_twisted.framing.rtu import encode_adu
from lumina_twisted.frontends.connection import OpenRequests
from lumina_twisted.frontends.gateway import Gateway, GatewayOptions
from lumina_twisted.frontends.rtu.program import Program, RtuOptions
from lumina_twisted.log.folding import Folding
from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.settings import SerialSettings
from lumina_twisted.ports.port_log import WriteLog
from lumina_twisted.ports.service import PortService
from lumina_twisted.ports.settings import PortSettings
from lumina_twisted.simulator.device import SimulatedDevice
from lumina_twisted.testing import MemoryListener, MemoryPorts
from tests.devices.test_plant import a_point
from tests.line_listener import command

ME = Caller("me")

PEER = "192.168.1.1:54321"
"""As Twisted's transport for tests names its client."""
WRITE = pdu.WriteSingleRegisterRequest(5, 7).encode()
ON = pdu.WriteSingleCoilRequest(2, True).encode()


class LogCase(SynchronousTestCase):
    """What is logged of writes."""

    def setUp(self) -> None:
        self.events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self._hear)
        self.addCleanup(globalLogPublisher.removeObserver, self._hear)

    def _hear(self, event: Any) -> None:
        if event.get("log_namespace") == "lumina.writes":
            self.events.append(event)

    def lines(self) -> list[str]:
        """Those that came since it was last looked at."""
        lines = [formatEvent(one) or "" for one in self.events]
        self.events.clear()
        return lines


class Lines(LogCase):
    """One line."""

    def told(self, request: bytes, ended: Deferred[bytes] | None = None, unit: int = 3, note: str = "") -> str:
        ended = succeed(b"a reply") if ended is None else ended
        asked = WriteLog("boiler").follow(Caller("10.0.0.7:4001"), unit, request, note, ended)
        asked.addErrback(lambda _: None)
        [line] = self.lines()
        return line.removeprefix("write by 10.0.0.7:4001 on boiler, unit ")

    def test_what_was_written(self) -> None:
        for request, told in (
            (WRITE, "holding register 5 = 7"), (ON, "coil 2 = 1"),
            (pdu.WriteMultipleRegistersRequest(5, [1, 2]).encode(), "holding registers 5 to 6 = 1 2"),
            (pdu.WriteMultipleRegistersRequest(5, [0] * 10).encode(), f"holding registers 5 to 14 ={' 0' * 8} …"),
            (pdu.WriteMultipleCoilsRequest(5, [True, False]).encode(), "coils 5 to 6 = 1 0"),
            (pdu.MaskWriteRegisterRequest(5, 0xFFF0, 1).encode(), "holding register 5"),
            (pdu.ReadWriteMultipleRegistersRequest(0, 9, 5, [3]).encode(), "holding register 5 = 3"),
            (bytes((99, 1, 2)), "function 99"), (bytes((16, 0, 1)), "function 16 of 3 bytes"),
        ):
            self.assertEqual(self.told(request), f"3: {told}; confirmed")

    def test_what_became_of_it(self) -> None:
        for error, told in (
            (PortClosed("boiler is closed"), "port_closed, boiler is closed"),
            (OutcomeUnknown("nobody knows"), "outcome_unknown, nobody knows"),
            (IllegalDataValue(unit=3, function_code=6), "exception, unit 3 refused function 6: exception 3 illegal"
             " data value"),
            (ValueError("x"), "error, x"),
        ):
            self.assertEqual(self.told(WRITE, fail(error)), f"3: holding register 5 = 7; {told}")

    def test_a_broadcast(self) -> None:
        self.assertEqual(self.told(WRITE, unit=0), "0: holding register 5 = 7; sent to all units")

    def test_what_it_means(self) -> None:
        told = self.told(WRITE, note="boiler.set 6 -> 7")
        self.assertEqual(told, "3: boiler.set 6 -> 7 (holding register 5 = 7); confirmed")

    def test_reads_are_not_told(self) -> None:
        for request in (pdu.ReadCoilsRequest(0, 1), pdu.ReadInputRegistersRequest(0, 1)):
            WriteLog("boiler").follow(ME, 3, request.encode(), "", succeed(b""))
        self.assertEqual(self.lines(), [])

    def test_its_caller_finds_what_became_of_it(self) -> None:
        asked: Deferred[bytes] = Deferred()
        self.assertIs(WriteLog("boiler").follow(ME, 3, WRITE, "", asked), asked)
        asked.callback(b"reply")
        self.assertEqual(self.successResultOf(asked), b"reply")

    def test_what_is_folded(self) -> None:
        """The same client's writes to the same place; another place, client or end is another line."""
        passed: list[str] = []
        folding = Folding(60.0, lambda: 0.0, lambda event, more: passed.append(formatEvent(event) or ""))
        log = WriteLog("boiler")
        a, b = Caller("a"), Caller("b")
        for value in range(100):
            for client, unit, address in ((a, 3, 5), (b, 3, 5), (a, 4, 5), (a, 3, 6)):
                request = pdu.WriteSingleRegisterRequest(address, value).encode()
                log.follow(client, unit, request, "", succeed(b""))
        log.follow(a, 3, WRITE, "", fail(OutcomeUnknown("x"))).addErrback(lambda _: None)
        log.follow(a, 3, pdu.WriteMultipleRegistersRequest(5, [1]).encode(), "", succeed(b""))
        for event in self.events:
            folding.take(event)
        self.assertEqual(len(passed), 6, passed)

    def test_whoever_it_is(self) -> None:
        class Nameless:
            """Without a text of its own."""

        for client, told in ((Nameless(), "Nameless"), ("x\x1b[2J", "x?[2J"), (7, "7")):
            WriteLog("boiler").follow(caller_of(client), 3, WRITE, "", succeed(b""))
            self.assertIn(f"write by {told} on boiler", self.lines()[0])


class Fronts(LogCase):
    """A port whose wire answers at once, and every front before it."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.device = SimulatedDevice()
        settings = PortSettings(path="/dev/nowhere", open="request", echo="off")
        self.port: Any = PortService("boiler", settings, self.clock, self.clock.seconds)
        self.port._protocol.makeConnection(self)
        self.addCleanup(self.port._protocol.close)

    def send_frame(self, data: bytes, serial: SerialSettings) -> None:
        """See :meth:`lumina_twisted.ports.serial.BusTransport.send_frame`."""
        reply = encode_adu(data[0], self.device.answer(data[1:-2], 0.0) or b"")
        self.clock.callLater(0.1, self.port._protocol.dataReceived, reply)

    def listener(self, protocol: str, **keys: Any) -> MemoryListener:
        front_end: Any = front_ends()[protocol]
        return MemoryListener(front_end, self.port, **keys)

    def line_of(self, protocol: str, data: bytes, **keys: Any) -> str:
        client = self.listener(protocol, **keys).connect()
        client.send(data)
        for _ in range(200):
            self.clock.advance(0.01)
        [line] = self.lines()
        return line

    def test_lines(self) -> None:
        told = self.line_of("line", command(bytes((3,)) + WRITE, port="boiler") + b"\n")
        self.assertEqual(told, f"write by {PEER} on boiler, unit 3: holding register 5 = 7; confirmed")

    def test_modbus_tcp(self) -> None:
        told = self.line_of("modbus-tcp", mbap(1, 3, ON))
        self.assertEqual(told, f"write by {PEER} on boiler, unit 3: coil 2 = 1; confirmed")

    def test_rtu_over_tcp(self) -> None:
        told = self.line_of("rtu-tcp", encode_adu(3, WRITE))
        self.assertIn(f"write by {PEER} on boiler, unit 3: holding register 5 = 7; ", told)

    def test_a_program_at_a_terminal(self) -> None:
        program = Program(
            Caller("the program at /dev/ttyV0"),
            Gateway(GatewayOptions(), 5.0, MemoryPorts(self.port)),  # type: ignore[arg-type]
            RtuOptions(), self.clock, Logger(), send=[].append, begins_anew=bool, pending=OpenRequests(Logger(), print),
        )
        program.receive(encode_adu(3, WRITE))
        for _ in range(50):
            self.clock.advance(0.01)
        self.assertIn("write by the program at /dev/ttyV0 on boiler, unit 3", self.lines()[0])

    def test_values(self) -> None:
        """With the point's name, and what it was before."""
        points = {"set": a_point("set", 5, writable=True, scale=0.1, poll=0.0)}
        device = Device(name="hall", port="boiler", unit=3, points=points)
        plant = Plant(
            [device], MemoryPorts(self.port), DeviceStates(), ValuesSettings(), self.clock, self.clock.seconds,
            self.clock.seconds,
        )
        plant.start()
        self.addCleanup(plant.stop)
        told = self.line_of("values", b"write hall.set 0.7\n", values=plant)
        self.assertEqual(
            told, f"write by {PEER} on boiler, unit 3: hall.set 0.7 (holding register 5 = 7); confirmed"
        )
        told = self.line_of("values", b"write hall.set 0.9\n", values=plant)
        self.assertIn("hall.set 0.7 -> 0.9 (holding register 5 = 9); confirmed", told)

    def test_what_a_rule_refuses(self) -> None:
        """Who tries is told of, too; by the port, with the rule, and once."""
        told: list[str] = []
        globalLogPublisher.addObserver(hear := lambda event: told.append(formatEvent(event) or ""))
        self.addCleanup(globalLogPublisher.removeObserver, hear)
        self.port._rules = PortSettings(path="/dev/nowhere", deny=("write *",)).rules
        self.listener("modbus-tcp").connect().send(mbap(1, 3, WRITE))
        self.assertEqual(self.lines(), [])
        rule = "setting holding register 5 of unit 3 to 7 is denied by the rule 'write *'"
        self.assertEqual([one for one in told if "refused" in one], [f"boiler: refused to {PEER}, {rule}"])

    def test_as_json(self) -> None:
        """For whoever collects them: who, where and what are keys of their own."""
        from lumina_twisted.log.lines import as_json

        self.port.request(ME, 3, WRITE, Terms(5.0))
        self.clock.pump([0.01] * 50)
        told = json.loads(as_json(self.events[0]))
        keys = {key: told[key] for key in ("client", "port", "unit", "function", "address", "kind")}
        self.assertEqual(
            keys, {"client": "me", "port": "boiler", "unit": 3, "function": 6, "address": 5, "kind": "confirmed"}
        )
