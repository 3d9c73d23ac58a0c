"""Random walks over what every session has in common, with each protocol: requests, cancellations, lost connections,
answers in any order, refusals by a server that stops, and time."""

from __future__ import annotations

import json
import random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.client.command import CommandSettings, PendingCommand
from lumina_twisted.client.command_sessions import LineSession, ModbusTcpSession
from lumina_twisted.client.session import Answered, Session, Unusable
from lumina_twisted.client.value_session import ValueRequest, ValueSession
from lumina_twisted.errors import Cancelled, NotSent, OutcomeUnknown, ResponseTimeout
from lumina_twisted.framing.mbap import MbapDecoder
from lumina_twisted.framing.mbap import encode_adu as mbap
from lumina_twisted.framing.rtu import encode_adu
from lumina_twisted.valueproto import command

WINDOW = 3
STEPS = 400
SEEDS = range(20)


class Lines:
    """A server of text lines. Each request has its number as its address."""

    stops = True

    def session(self) -> Session[Any]:
        return LineSession("plc", WINDOW)

    def request(self, number: int, is_read: bool, deadline: float) -> Any:
        pdu = bytes((3 if is_read else 6,)) + number.to_bytes(2, "big") + b"\0\1"
        return PendingCommand("", f"port {number % 2}", 1, pdu, CommandSettings(), deadline)

    def received(self, data: bytes) -> list[tuple[Any, int]]:
        """The ids of the attempts, and the numbers of their requests."""
        fields = [line.split(b":") for line in data.splitlines()]
        return [(one[0], int(one[4][4:8], 16)) for one in fields]

    def greeting(self, data: bytes) -> bytes:
        return b""

    def answer(self, attempt: bytes, number: int, is_read: bool) -> bytes:
        reply = b"\3\2\0\1" if is_read else b"\6" + number.to_bytes(2, "big") + b"\0\1"
        return b"%b:%b:1.0\n" % (attempt, encode_adu(1, reply).hex().encode())

    def refusal(self, attempt: bytes) -> bytes:
        return b"%b:ERROR:stopping the service is stopping:1.0\n" % attempt


class ModbusTcp(Lines):
    """A Modbus TCP server, which has no word for *stopping*."""

    stops = False

    def session(self) -> Session[Any]:
        return ModbusTcpSession("plc", WINDOW)

    def request(self, number: int, is_read: bool, deadline: float) -> Any:
        pdu = bytes((3 if is_read else 6,)) + number.to_bytes(2, "big") + b"\0\1"
        return PendingCommand("", "", 1, pdu, CommandSettings(), deadline)

    def received(self, data: bytes) -> list[tuple[Any, int]]:
        return [(adu.transaction_id, int.from_bytes(adu.pdu[1:3], "big")) for adu in MbapDecoder().receive(data)]

    def answer(self, attempt: Any, number: int, is_read: bool) -> bytes:
        return mbap(attempt, 1, b"\3\2\0\1" if is_read else b"\6" + number.to_bytes(2, "big") + b"\0\1")


class Values(Lines):
    """A listener for values."""

    def session(self) -> Session[Any]:
        return ValueSession("plc", WINDOW)

    def request(self, number: int, is_read: bool, deadline: float) -> Any:
        asked = command.Describe(f"p.{number}") if is_read else command.Write(f"p.{number}", "1")
        return ValueRequest(asked, deadline)

    def received(self, data: bytes) -> list[tuple[Any, int]]:
        words = [line.split() for line in data.decode().splitlines()]
        return [(one[0][1:], int(one[2][2:])) for one in words if one[1] != "format"]

    def greeting(self, data: bytes) -> bytes:
        tags = [line.split()[0][1:] for line in data.decode().splitlines() if b"format" in data and "format" in line]
        return b"".join(self._line(tag, format="json") for tag in tags)

    def answer(self, attempt: Any, number: int, is_read: bool) -> bytes:
        point = {"name": f"p.{number}", "type": "u16", "unit_of_measure": "", "writable": True, "summary": "",
                 "low": None, "high": None, "words": None, "device": "p", "port": "p", "unit": 1}
        reading = {"name": f"p.{number}", "value": 1, "unit_of_measure": "", "quality": "good", "time": 1.0, "why": ""}
        return self._line(attempt, point=point) if is_read else self._line(attempt, written=reading)

    def refusal(self, attempt: Any) -> bytes:
        return self._line(attempt, error="stopping", message="the service is stopping")

    def _line(self, tag: str, **said: Any) -> bytes:
        return json.dumps({"ok": "error" not in said, "tag": tag, **said}).encode() + b"\n"


class Walk:
    """One session, its server, and what became of each request."""

    def __init__(self, server: Lines, seed: int) -> None:
        self.server = server
        self.random = random.Random(seed)
        self.session = server.session()
        self.now = 0.0
        self.is_connected = False
        self.requests: list[Any] = []
        self.ends: dict[int, list[tuple[Any, float]]] = {}
        self.carried_out: dict[int, int] = {}  # how often each request may have been carried out
        self.with_server: dict[Any, int] = {}  # on this connection

    def run(self) -> None:
        steps = (
            self.submit, self.submit, self.submit, self.cancel, self.lose, self.connect, self.connect, self.answer,
            self.answer, self.answer, self.refuse, self.wait, self.wait,
        )
        for _ in range(STEPS):
            self.random.choice(steps)()
            self.pump()
        self.session.close(self.now)
        self.pump()

    def submit(self) -> None:
        number = len(self.requests)
        request = self.server.request(number, self.random.random() < 0.5, self.now + self.random.choice((0.1, 1, 30)))
        self.requests.append(request)
        self.session.submit(request, self.now)

    def cancel(self) -> None:
        if waiting := [number for number, one in enumerate(self.requests) if not one.done]:
            number = self.random.choice(waiting)
            error = self.session.cancel(self.requests[number], self.now)
            self.ends.setdefault(number, []).append((error, self.now))

    def lose(self) -> None:
        if self.random.random() < 0.3:
            self.is_connected = False
            self.with_server.clear()
            self.session.connection_lost("it was cut", self.now)

    def connect(self) -> None:
        if not self.is_connected:
            self.is_connected = True
            self.session.connected(self.now)

    def answer(self) -> None:
        if self.with_server:
            attempt = self.random.choice(list(self.with_server))
            number = self.with_server.pop(attempt)
            self.hear(self.server.answer(attempt, number, self.requests[number].is_read))

    def refuse(self) -> None:
        if self.with_server and self.server.stops and self.random.random() < 0.2:
            attempt = self.random.choice(list(self.with_server))
            self.carried_out[self.with_server.pop(attempt)] -= 1
            self.hear(self.server.refusal(attempt))

    def wait(self) -> None:
        until = self.now + self.random.choice((0.01, 0.2, 3))
        while (timer := self.session.get_timer()) is not None and timer <= until:
            self.now = max(self.now, timer)
            self.session.handle_timer(self.now)
            self.pump()
        self.now = until

    def hear(self, data: bytes) -> None:
        if self.is_connected and data:
            self.session.receive_data(data, self.now)

    def pump(self) -> None:
        """As a client does: sends, then delivers."""
        data = self.session.data_to_send() if self.is_connected else b""
        for attempt, number in self.server.received(data):
            self.with_server[attempt] = number
            self.carried_out[number] = self.carried_out.get(number, 0) + 1
        while (event := self.session.next_event()) is not None:
            if isinstance(event, Unusable):
                self.is_connected = False
                self.with_server.clear()
                self.session.connection_lost(event.why, self.now)
            else:
                outcome = event.answer if isinstance(event, Answered) else event.error
                self.ends.setdefault(self.requests.index(event.request), []).append((outcome, self.now))
        if greeting := self.server.greeting(data):
            self.hear(greeting)
            self.pump()


class Walks(SynchronousTestCase):
    """What holds after each walk."""

    def check(self, server: Lines) -> None:
        kinds = set()
        for seed in SEEDS:
            walk = Walk(server, seed)
            walk.run()
            for number, request in enumerate(walk.requests):
                where = f"seed {seed}, request {number}, {type(server).__name__}"
                self.assertEqual(len(walk.ends.get(number, [])), 1, f"{where}: exactly one end")
                (outcome, at), times = walk.ends[number][0], walk.carried_out.get(number, 0)
                self.assertLessEqual(at, request.deadline, f"{where}: not later than its deadline")
                if not request.is_read:
                    self.assertLessEqual(times, 1, f"{where}: a write is sent once")
                    self.assertIn(times, self.allowed(outcome), f"{where}: {outcome!r}")
                kinds.add(type(outcome))
        self.assertLessEqual({Cancelled, OutcomeUnknown, ResponseTimeout}, kinds)

    def allowed(self, outcome: Any) -> tuple[int, ...]:
        """How often a write with that outcome may have been carried out. A server may refuse one that its caller has
        cancelled."""
        if isinstance(outcome, OutcomeUnknown):
            return 0, 1
        return (0,) if isinstance(outcome, NotSent | Cancelled) else (1,)

    def test_lines(self) -> None:
        self.check(Lines())

    def test_modbus_tcp(self) -> None:
        self.check(ModbusTcp())

    def test_values(self) -> None:
        self.check(Values())
