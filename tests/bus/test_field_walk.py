"""Long seeded walks over all that the guarantees promise, at once: nobody gets a wrong answer, and everything ends.

``LUMINA_WALK_SEEDS`` says how many walks, ``LUMINA_WALK_FIRST`` which is the first.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.bus.bus import Bus, Renewal
from lumina_twisted.bus.events import Ending, Failure, Reply, Request
from lumina_twisted.bus.pending import Pending
from lumina_twisted.bus.settings import BusSettings, UnitSettings
from lumina_twisted.errors import ModbusException, OutcomeUnknown
from lumina_twisted.framing.rtu import RtuFraming, encode_adu, t3_5
from lumina_twisted.modbus.functions import EXCEPTION_FLAG
from tests.bus.field import ADDRESSES, Execution, Field, Habits, Unit, part, span
from tests.bus.world import ask, frame_of, reply_frame

SEEDS = int(os.environ.get("LUMINA_WALK_SEEDS", "100"))
FIRST = int(os.environ.get("LUMINA_WALK_FIRST", "0"))
STEPS = 150
EPSILON = 1e-6
ENOUGH = 60.0
"""Seconds after which every request has ended, and every device has said all that it will."""


class Walk:
    """One field, one bus, several clients."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = chance = Random(seed)
        self.over_stream = chance.random() < 0.3
        self.has_other = chance.random() < 0.25
        self.is_noisy = not self.has_other and chance.random() < 0.5
        self.doubles = not self.over_stream and not self.has_other and chance.random() < 0.2
        self.echoes = chance.random() < 0.35
        self.settings = self._settings()
        self.bus = Bus(self.settings, "tty", framing=RtuFraming(has_wire_time=not self.over_stream))
        self.field = Field(
            chance, {number: Unit(number, self._habits(), chance) for number in (1, 2, 3)}, self.hear,
            baudrate=self.settings.baudrate, echoes=self.echoes, now=100.0,
            latency=chance.choice((0.0, 0.0, 0.004, 0.016)) if not self.over_stream else chance.choice((0.002, 0.05)),
        )
        self.quiet_from = 0.0
        self.writes = 0
        self.requests: list[Pending] = []
        self.pending: dict[Request, Pending] = {}
        self.ended: dict[Pending, Ending] = {}
        self.wrong: list[str] = []
        self.before_conviction = 0
        self.answers = 0
        self.is_open = True
        self.convicted_at: dict[Pending, bool] = {}
        self.bus.port_opened(self.field.now)
        self.collect()

    def _settings(self) -> BusSettings:
        chance = self.chance
        own = {
            2: UnitSettings(canary=chance.choice((None, "read")), retries=chance.choice((None, 0, 1)), share=False),
            3: UnitSettings(timeout=chance.choice((None, "auto", 0.3)), offline_after=chance.choice((None, 0, 2))),
        }
        return BusSettings(
            baudrate=chance.choice((9600, 115200)), timeout=chance.choice((0.05, 0.1, 0.3, "auto")),
            retries=chance.randrange(4), retry_writes=chance.choice((0, 0, 1, 2)), merge=chance.random() < 0.4,
            merge_hole=chance.choice((0, 4)), share=chance.random() < 0.8,
            canary=chance.choice(("diagnostics", "read")),
            echo=chance.choice(("auto", "auto", "on" if self.echoes else "off")), turnaround=0.02,
            frame_gap=0.0 if self.over_stream else chance.choice((None, 0.01)), offline_after=chance.choice((0, 4)),
            units=own if chance.random() < 0.6 else {},  # type: ignore[arg-type]
        )

    def _habits(self) -> Habits:
        chance = self.chance

        def some(most: float) -> float:
            return most * chance.random() if chance.random() < 0.5 else 0.0

        return Habits(
            late=some(0.4), latest=chance.choice((0.2, 1.0, 3.0, 20.0)), deaf=some(0.3), lost=some(0.2),
            damaged=some(0.2) if self.is_noisy else 0.0, cut=some(0.2) if self.is_noisy else 0.0,
            split=some(0.3) if not self.has_other else 0.0, busy=some(0.1),
            doubled=chance.choice((0.0, 0.3, 1.0)) if self.doubles else 0.0,
            copy_after=chance.choice((0.0, 0.003, 0.05)),
            diagnostics=chance.choice(("returns", "returns", "refuses", "silent")),
        )

    # -- what happens --------------------------------------------------------------------------------------------

    def play(self) -> None:
        """The walk, and its end."""
        kinds = {
            "read": 30, "write": 8, "burst": 3, "wait": 20, "long wait": 2, "cancel": 3, "lose port": 0.5,
            "connection lost": 0.5, "stall": 0.5 if self.over_stream else 0, "noise": 4 if self.is_noisy else 0,
            "switch": 0.7, "other asks": 12 if self.has_other else 0,
        }
        for kind in self.chance.choices(list(kinds), list(kinds.values()), k=STEPS):  # type: ignore[arg-type]
            getattr(self, kind.replace(" ", "_"))()
        self.recover()

    def recover(self) -> None:
        """The field is healthy again: all that was begun ends, and each unit answers."""
        self.pass_time(ENOUGH)
        for unit in self.field.units.values():
            unit.is_on, diagnostics = True, unit.habits.diagnostics
            unit.habits = Habits(diagnostics=diagnostics)
        self.pass_time(max(ENOUGH, *(unit.free_at - self.field.now for unit in self.field.units.values())))
        self.wrong += [f"{frame_of(one).hex()} never ended" for one in self.requests if not one.done]
        self.check_units_answer()
        self.check_nothing_is_left()

    def check_units_answer(self) -> None:
        """Each, once it is healthy."""
        last = []
        for number in self.field.units:
            for turn in range(6):  # what a unit is silent to is learned by the first
                asked = self.submit(encode_adu(number, bytes((3, 0, 8 * turn, 0, turn // 2 + 1))), 40.0)
                last += [asked] if turn > 2 else []
                self.pass_time(15.0)
        self.pass_time(ENOUGH)
        self.wrong += [
            f"a healthy unit did not answer {frame_of(one).hex()}: {self.ended.get(one)}" for one in last
            if not isinstance(self.ended.get(one), Reply)
        ]

    def check_nothing_is_left(self) -> None:
        """Of all that the walk did."""
        bus = self.bus
        left = {
            "waiting": len(bus._queue), "sharing": len(bus._coalescing.primary_of),
            "refusals": len(bus._endings.refusals),
            "lost": len(bus._wire.doubts.late.lost), "hopeless": len(bus._wire.hopeless),
            "offers": max((len(one) for one in bus._coalescing._offers.values()), default=0) // 100,
        }
        self.wrong += [f"{count} left in {name}" for name, count in left.items() if count]
        if bus._wire.doubts.late.count > 60 or bus._wire.doubts.late.count != len(list(bus._wire.doubts.late)):
            self.wrong.append(f"{bus._wire.doubts.late.count} late replies left")

    def read(self) -> None:
        chance = self.chance
        code, unit = chance.choice((3, 3, 3, 4, 4, 1)), chance.randrange(1, 4)
        address = chance.randrange(ADDRESSES) if chance.random() < 0.3 else chance.randrange(8)
        quantity = chance.randrange(1, 5) if code > 1 else chance.randrange(1, 20)
        self.submit(encode_adu(unit, bytes((code, 0, address, 0, quantity))), self._patience())

    def write(self) -> None:
        chance, self.writes = self.chance, self.writes + 1
        unit, address = chance.choice((1, 1, 2, 2, 3, 3, 0)), chance.randrange(ADDRESSES)
        value = (address << 10 | self.writes % 1024).to_bytes(2, "big")
        pdu = {5: bytes((5, 0, address)) + chance.choice((b"\xff\0", b"\0\0")), 6: bytes((6, 0, address)) + value,
               16: bytes((16, 0, address % 4, 0, 1, 2)) + value}[chance.choice((5, 6, 6, 16, 16))]
        self.submit(encode_adu(unit, pdu), self._patience())

    def _patience(self) -> float:
        return self.chance.choice((0.15, 0.5, 2.0, 10.0))

    def submit(self, frame: bytes, timeout: float) -> Pending:
        chance = self.chance
        request = ask(
            chance.randrange(4), frame, self.settings.serial_for(frame[0]), self.field.now + timeout,
            retries=chance.choice((None, None, None, 0, 2)), lane=chance.choice((0, 1, 1, 2)),
            max_age=chance.choice((None, None, None, 0.0, 0.5)),
        )
        pending = self.pending[request] = self.bus.submit(request, self.field.now)
        self.requests.append(pending)
        self.collect()
        return pending

    def burst(self) -> None:
        for _ in range(8):
            self.read()

    def cancel(self) -> None:
        waiting = [one for one in self.requests[-40:] if not one.done]
        if waiting:
            self.bus.cancel(self.chance.choice(waiting), self.field.now)
            self.collect()

    def wait(self) -> None:
        self.pass_time(self.chance.choice((0.001, 0.02, 0.1, 0.5)))

    def long_wait(self) -> None:
        self.pass_time(self.chance.choice((3.0, 15.0)))

    def lose_port(self) -> None:
        self._away(self.bus.port_lost)

    def connection_lost(self) -> None:
        self._away(self.bus.connection_lost)

    def _renew(self) -> None:
        """The bus wants another connection."""
        if self.is_open and self.bus.renewal is Renewal.WANTED:
            self.is_open = False
            self.bus.port_lost(self.field.now, "cut")
            self.field.plugged += 1
            self.field.at(self.field.now + 0.01, self._renewed)

    def _renewed(self) -> None:
        self.is_open = True
        self.bus.port_opened(self.field.now)
        self.collect()

    def _away(self, lose: Callable[[float, str], None]) -> None:
        """Bytes on their way are lost; the devices keep what they have to say."""
        if self.has_other:  # what it asks is always heard
            self.pass_time(0.2 + max(0.0, self.field.stalled_until - self.field.now))
        lose(self.field.now, "unplugged")
        self.field.plugged += 1
        self.is_open = False
        self.collect()
        self.pass_time(self.chance.choice((0.0, 0.05, 1.0)))
        self.is_open, self.quiet_from = True, self.field.now
        self.bus.port_opened(self.field.now)
        self.collect()

    def stall(self) -> None:
        self.field.stalled_until = self.field.now + self.chance.choice((0.5, 20.0))

    def noise(self) -> None:
        self.field.hand_over(self.chance.randbytes(self.chance.randrange(1, 12)), self.field.now)

    def switch(self) -> None:
        unit = self.chance.choice(list(self.field.units.values()))
        unit.is_on = not unit.is_on

    def other_asks(self) -> None:
        """Another master, mostly for what we ask for too."""
        chance, self.writes = self.chance, self.writes + 1
        unit, address = chance.randrange(1, 4), chance.randrange(8)
        pdu = bytes((chance.choice((3, 3, 4)), 0, address, 0, chance.randrange(1, 5)))
        if chance.random() < 0.2:
            address %= 4
            pdu = bytes((16, 0, address, 0, 1, 2)) + (address << 10 | self.writes % 1024).to_bytes(2, "big")
        self.field.carry(encode_adu(unit, pdu), is_ours=False)

    # -- time ----------------------------------------------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        until = self.field.now + seconds
        while True:
            own, fields = self.bus.get_timer(), self.field.due
            due = min(one for one in (own, fields, until) if one is not None)
            if due >= until:
                break
            if fields is not None and fields <= due:
                self.field.step()
            else:
                self.field.now = max(self.field.now, due)
                self.bus.handle_timer(self.field.now)
                self.collect()
        self.field.now = until

    def hear(self, data: bytes, _: int) -> None:
        if self.is_open:
            self.quiet_from = max(self.quiet_from, self.field.now)
            self.field.unheard.pop(id(data), None)
            self.bus.receive_data(data, self.field.now)
            self.collect()

    # -- what comes of it ----------------------------------------------------------------------------------------

    def collect(self) -> None:
        now = self.field.now
        while frame := self.bus.next_frame():
            gap = t3_5(self.settings.baudrate) if self.settings.frame_gap is None else self.settings.frame_gap
            is_timed = not self.over_stream and not self.doubles  # a first copy may end a frame that still leaves
            if is_timed and now < self.quiet_from + gap - EPSILON:
                self.wrong.append(f"{now:.4f}: early frame, {now - self.quiet_from:.6f} s of silence before it")
            self.quiet_from = max(self.quiet_from, now + self.field.wire_time(frame.data))
            live = self.bus._wire.attempt
            if live is not None:
                self.note_conviction(live.request)
            self.field.carry(frame.data, is_ours=True, hit=self.is_noisy and self.chance.random() < 0.03)
        while event := self.bus.next_event():
            if isinstance(event, Reply | Failure):
                self.on_event(event)
        self._renew()

    def note_conviction(self, request: Pending) -> None:
        known = self.bus._wire.doubts.surplus._units[request.unit]
        for one in (request, *request.followers):
            self.convicted_at.setdefault(one, known is not None and known.delay > 0)

    def on_event(self, event: Ending) -> None:
        request = self.pending[event.request]
        if request in self.ended:
            self.wrong.append(f"{frame_of(request).hex()} ended twice")
        self.ended[request] = event
        unit = self.field.units.get(request.unit)
        if unit is None:
            return
        if isinstance(event, Reply):
            self.answers += 1
            is_read = request.is_read
            fault = self._fault_of_read(event, request, unit) if is_read else self._fault_of_write(request, unit)
        elif isinstance(event.error, ModbusException):
            fault = self._fault_of_exception(request, event.error, unit)
        elif not request.is_read and request.attempts and not isinstance(event.error, OutcomeUnknown):
            fault = f"a write that was sent ended as {event.error!r}"
        else:
            fault = ""
        if fault and unit.habits.doubled and not self.convicted_at.get(request):
            self.before_conviction += 1
        elif fault and not self._answers_unheard(event, unit):
            self.wrong.append(f"{self.field.now:.4f}: {frame_of(request).hex()}: {fault}")

    def _answers_unheard(self, event: Ending, unit: Unit) -> bool:
        """Whether it is the reply to what the other master asked while the link stalled, if that was cut before the bus
        had received the question. The guarantees name this as not covered: nothing tells such a reply from its own."""
        if isinstance(event, Reply):
            told = event.pdu
        elif isinstance(event.error, ModbusException):
            told = bytes((event.request.pdu[0] | EXCEPTION_FLAG, event.error.code))
        else:
            return False
        return any(
            one.reply[1:-2] == told and not one.is_ours and id(one.frame) in self.field.unheard for one in unit.done
        )

    def _since(self, request: Pending, unit: Unit) -> list[Execution]:
        oldest = request.arrived - (request.request.max_age or 0.0) - EPSILON
        return [one for one in reversed(unit.done[-400:]) if one.at >= oldest and one.frame[1] == frame_of(request)[1]]

    def _fault_of_read(self, event: Reply, request: Pending, unit: Unit) -> str:
        code, first, count = span(frame_of(request))
        for one in self._since(request, unit):
            _, its_first, its_count = span(one.frame)
            if its_first <= first and first + count <= its_first + its_count and one.reply[1] == code:
                told = part(one.reply, first - its_first, count)
                if told == part(reply_frame(event), 0, count):
                    return ""
        return f"was given {reply_frame(event).hex()}, which the unit never said since"

    def _fault_of_write(self, request: Pending, unit: Unit) -> str:
        done = [one for one in self._since(request, unit) if one.frame == frame_of(request) and one.is_ours]
        is_proven = any(one.reply[1] < 0x80 for one in done) or self._may_be_two_echoes(request)
        return "" if is_proven else "was confirmed, and never carried out"

    def _may_be_two_echoes(self, request: Pending) -> bool:
        """Whether a write was sent twice through a converter that echoes, while that stalled. The guarantees name this
        as not covered: two echoes at once look like echo and reply."""
        echoes_late = self.over_stream and self.echoes and self.field.stalled_until > request.arrived
        return echoes_late and request.attempts > 1 and request.pattern.can_equal_request

    def _fault_of_exception(self, request: Pending, error: ModbusException, unit: Unit) -> str:
        code, first, count = span(frame_of(request))
        for one in self._since(request, unit):
            _, its_first, its_count = span(one.frame)
            covers = its_first <= first and first + count <= its_first + its_count
            if covers and one.reply[1:3] == bytes((code | 0x80, error.code)):
                return ""
        return f"was given another's exception {error.code}"


class FieldWalkTests(SynchronousTestCase):
    """Late, deaf, doubled, damaged, echoing, foreign: in all combinations that a seed finds."""

    def test_walks(self) -> None:
        """No wrong answer, no second outcome, nothing that never ends, nothing left."""
        faults, answers = [], 0
        for seed in range(FIRST, FIRST + SEEDS):
            walk = Walk(seed)
            walk.play()
            answers += walk.answers
            faults += [f"seed {seed}: {one}" for one in walk.wrong[:3]]
        self.assertEqual(faults, [])
        self.assertGreater(answers, 20 * SEEDS)
