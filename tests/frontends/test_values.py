"""The value front-end: each line gets its answer, in order or by its tag, and a watcher sees every last value."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.errors import ConfigError, IllegalDataAddress, NotTaken, ResponseTimeout
from lumina_twisted.frontends.plugin import Context
from lumina_twisted.frontends.values import client as values_client
from lumina_twisted.frontends.values.client import ValuesFrontEnd
from lumina_twisted.frontends.values.watching import ChangeLine, Watched
from lumina_twisted.testing import MemoryConnection, MemoryListener, MemoryValues
from lumina_twisted.valueproto.answer import Change, NamedReading, Readings, parse_answer
from lumina_twisted.valueproto.command import MAX_LINE, WORDS
from lumina_twisted.valueproto.reading import Confirmed, PointDescription, Quality, Reading
from tests.strategies import QUICK

TIME = "2024-11-24T17:04:50.123Z"
FLOW = f"boiler.flow 65.5 °C good {TIME}"
PUMP = f"boiler.pump on - good {TIME}"


def plant() -> MemoryValues:
    """A boiler and a meter."""
    return MemoryValues(
        {"boiler.flow": 65.5, "boiler.pump": True, "boiler.mode": "eco", "meter.power": None},
        PointDescription(
            name="boiler.flow", type="f32", unit_of_measure="°C", writable=True, summary="to the house", low=20.0,
            high=90.0, device="boiler", port="demo1", unit=3,
        ),
        PointDescription(name="meter.power", type="f32", unit_of_measure="W", device="meter", port="demo1", unit=4),
        configs={"boiler": {"poll": 1.0}},
    )


class ValuesCase(SynchronousTestCase):
    """A listener and one client."""

    def setUp(self) -> None:
        self.start()

    def start(self, values: MemoryValues | None = None, **options: Any) -> None:
        self.values = values or plant()
        self.listener = MemoryListener(ValuesFrontEnd(), values=self.values, **{"configure": True, **options})
        self.clock: Clock = self.listener.clock
        self.client = self.listener.connect()

    def tearDown(self) -> None:
        """Nobody is watched for who is gone, and nothing goes on."""
        for client in list(self.listener.factory._clients):
            client.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.values.watched(), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def say(self, *lines: str, client: MemoryConnection | None = None) -> list[str]:
        data = b"".join(line.encode() + b"\n" for line in lines)
        return (client or self.client).send(data).decode().split("\n")[:-1]

    def told(self, client: MemoryConnection | None = None) -> list[str]:
        return (client or self.client).received().decode().split("\n")[:-1]

    def answers(self, index: int = -1) -> Deferred[Reading]:
        return self.values.asked[index].answer


class Words(ValuesCase):
    """What each word does."""

    def test_list(self) -> None:
        self.assertEqual(self.say("list"), [
            "boiler.flow f32 °C rw to the house", "boiler.pump bool - rw", "boiler.mode string - rw",
            "meter.power f32 W r", "# 4 values"])
        self.assertEqual(self.say("list *.power"), ["meter.power f32 W r", "# 1 value"])
        self.assertEqual(self.say("list boiler.flwo"), [
            "error unknown_name there is no value 'boiler.flwo'; did you mean 'boiler.flow'?"])
        self.assertEqual(self.say("list x*"), [
            "error unknown_name no value is named like 'x*'; list tells all names"])

    def test_read(self) -> None:
        self.assertEqual(self.say("read boiler.flow"), [FLOW])
        self.assertEqual(self.say("read boiler.pump boiler.f* boiler.pump"), [PUMP, FLOW])
        self.assertEqual(self.say("READ meter.power"), ["meter.power - W stale - it was not read yet"])
        self.assertEqual(self.values.asked, [])

    def test_read_names_that_are_none(self) -> None:
        self.assertEqual(self.say("read boiler.flwo"), [
            "error unknown_name there is no value 'boiler.flwo'; did you mean 'boiler.flow'?"])
        self.assertEqual(self.say("read boiler.flwo boiler.flow x*"), [
            "error unknown_name there is no value 'boiler.flwo'; did you mean 'boiler.flow'?", FLOW,
            "error unknown_name no value is named like 'x*'; list tells all names"])

    def test_ask(self) -> None:
        self.values.then(66.0)
        self.assertEqual(self.say("read! boiler.flow"), [f"boiler.flow 66.0 °C good {TIME}"])
        [asked] = self.values.asked
        self.assertIs(asked.caller, self.client.protocol.caller)
        self.assertEqual((asked.name, asked.timeout, asked.value), ("boiler.flow", 5.0, None))

    def test_ask_several(self) -> None:
        self.values.then(66.0, ResponseTimeout("unit 3 did not answer"), IllegalDataAddress(unit=3, function_code=4))
        self.assertEqual(self.say("read! boiler.*"), [
            f"boiler.flow 66.0 °C good {TIME}",
            "error timeout boiler.pump: unit 3 did not answer",
            "error exception boiler.mode: 2 illegal data address, says unit 3 of function 4"])

    def test_only_so_many_are_asked_at_a_time(self) -> None:
        """The others are asked when these have ended, with the time that is left."""
        self.start(max_asked=2)
        self.values.then(None, None)
        self.assertEqual(self.say("read! boiler.*"), [])
        self.assertEqual([one.name for one in self.values.asked], ["boiler.flow", "boiler.pump"])
        self.clock.advance(2)
        self.answers(0).callback(Reading(1.0, Quality.GOOD, 0))
        self.assertEqual([(one.name, one.timeout) for one in self.values.asked[2:]], [("boiler.mode", 3.0)])
        self.answers(1).callback(Reading(True, Quality.GOOD, 0))
        self.assertEqual(len(self.told()), 3)

    def test_what_had_no_turn_in_time(self) -> None:
        self.start(max_asked=1)
        self.values.then(None)
        self.say("read! boiler.flow boiler.pump")
        self.clock.advance(5)
        self.answers().errback(ResponseTimeout("no reply"))
        self.assertEqual(self.told(), [
            "error timeout boiler.flow: no reply",
            "error expired boiler.pump had no turn within 5 s; ask for fewer at a time"])

    def test_thousands_that_had_no_turn_in_time(self) -> None:
        """Each has its answer: where all end at once, none begins on another's stack."""
        names = [f"hall.lamp_{number}" for number in range(3000)]
        self.start(MemoryValues(dict.fromkeys(names, 0)), max_asked=1)
        self.values.then(None)
        self.say("read! *")
        self.clock.advance(5)
        self.answers().errback(ResponseTimeout("no reply"))
        self.assertEqual(len(self.told()), 3000)
        self.assertEqual(self.say("read! hall.lamp_1"), ["hall.lamp_1 0 - good " + TIME])

    def test_write(self) -> None:
        self.assertEqual(self.say("write boiler.flow 70"), [f"boiler.flow 70.0 °C confirmed {TIME}"])
        self.assertEqual(self.say("write boiler.mode 'eco mode'"), [f'boiler.mode "eco mode" - confirmed {TIME}'])
        self.assertEqual([one.value for one in self.values.asked], ["70", "eco mode"])

    def test_b1_a_write_that_was_not_read_back(self) -> None:
        """B1: it is confirmed, and a second word says what is missing."""
        done = Confirmed(Reading(70.0, Quality.GOOD, self.values.stamp), "unit 1 did not answer")
        self.values.then(done, done)
        line = f"boiler.flow 70.0 °C confirmed {TIME} not_read_back unit 1 did not answer"
        self.assertEqual(self.say("write boiler.flow 70"), [line])
        told = json.loads(self.say("format json", "write boiler.flow 70")[-1])
        self.assertEqual((told["ok"], told["written"]["value"]), (True, 70.0))
        self.assertEqual(told["not_read_back"], "unit 1 did not answer")

    def test_write_that_fails(self) -> None:
        self.values.then(NotTaken("boiler.flow still holds 65.5"))
        lines = ("write boiler.flow 70", "write meter.power 1", "write boiler.flow x", "write a.b 1")
        self.assertEqual(self.say(*lines), [
            "error not_taken boiler.flow still holds 65.5",
            "error not_writable meter.power cannot be written; its description says so",
            "error invalid 'x' is no value of boiler.flow, such as 65.5",
            "error unknown_name there is no value 'a.b'; there are boiler.flow, boiler.pump, boiler.mode, meter.power"])

    def test_readonly(self) -> None:
        self.start(readonly=True)
        for line in ("write boiler.flow 70", "config boiler poll=2"):
            [told] = self.say(line)
            self.assertTrue(told.startswith("error not_allowed this listener "), told)
        self.assertEqual((self.values.asked, self.values.configs), ([], {"boiler": {"poll": 1.0}}))
        self.assertEqual(self.say("config boiler"), ["boiler poll=1.0", "#"])

    def test_history(self) -> None:
        for value in (66.0, 67.0):
            self.values.tell("boiler.flow", value)
        self.assertEqual(self.say("history boiler.flow 2"), [
            f"boiler.flow 66.0 °C good {TIME}", f"boiler.flow 67.0 °C good {TIME}", "# 2 changes"])
        self.assertEqual(len(self.say("history boiler.flow")), 4)

    def test_describe(self) -> None:
        self.assertEqual(self.say("describe boiler.flow"), [
            "boiler.flow f32 °C rw to the house", "# lowest  20", "# highest  90", "# device  boiler, unit 3 of demo1",
            "#"])

    def test_config(self) -> None:
        self.assertEqual(self.say("config boiler"), ["boiler poll=1.0", "#"])
        self.assertEqual(self.say("config boiler poll=2.5 points.flow.dead_band=0.5"), [
            "boiler poll=2.5", "boiler points.flow.dead_band=0.5", "#"])
        self.assertEqual(self.values.configs["boiler"], {"poll": 2.5, "points.flow.dead_band": 0.5})
        self.values.then(ConfigError(["devices.boiler.pol: unknown key; did you mean 'poll'?", "x: y"]))
        self.assertEqual(self.say("config boiler pol=1 x=y"), [
            "error invalid devices.boiler.pol: unknown key; did you mean 'poll'?", "error invalid x: y"])
        self.assertIn("there is no device 'boilr'; did you mean 'boiler'?", self.say("config boilr")[0])

    def test_config_that_may_not_be_changed(self) -> None:
        """Unless the file says so, no client configures."""
        self.listener = MemoryListener(ValuesFrontEnd(), values=self.values)
        self.client = self.listener.connect()
        self.assertIn("error not_allowed this listener does not change", self.say("config boiler poll=2.5")[0])

    def test_stats(self) -> None:
        self.assertEqual(self.say("stats"), [
            "# listener  clients 1, lines 1, errors 0, watched 0, changes 0",
            "# values  devices 2, points 4, good 3, stale 1, bad 0", "#"])

    def test_help_tells_every_word(self) -> None:
        told = self.say("help")
        self.assertEqual(told[-1], "#")
        for usage in WORDS.values():
            self.assertTrue(any(usage in line for line in told), usage)

    def test_bye(self) -> None:
        self.assertEqual(self.say("bye", "read boiler.flow"), ["bye"])
        self.assertTrue(self.client.is_closed)

    def test_lines_that_are_none(self) -> None:
        self.assertEqual(self.say("", "\r", "raed boiler.flow", "read\rx"), [
            "error invalid there is no word 'raed'; did you mean 'read'?",
            "error invalid the line has the control character '\\r'; leave it out"])
        told = self.client.send(b"@4 read \xff\n")
        self.assertEqual(told, b"@4 error invalid byte 9 of the line is not UTF-8; send UTF-8\n")

    def test_too_many_patterns(self) -> None:
        for word in ("read", "read!", "watch", "unwatch"):
            [told] = self.say(f"{word} {51 * 'b* '}")
            self.assertEqual(told, "error invalid 51 patterns are too many; write 50 a line at most")

    def test_an_answer_that_is_too_long(self) -> None:
        self.start(MemoryValues({f"a.p{number}": "x" * 1000 for number in range(2000)}))
        for word in ("read", "watch", "read!"):
            [told] = self.say(f"@1 {word} *")
            self.assertRegex(told, "^@1 error overloaded the answer would have 2...... bytes, and 1048576 is the most")
        self.assertEqual(self.values.watched(), [])

    def test_a_fault_of_ours(self) -> None:
        self.values.text = None  # type: ignore[assignment,method-assign]
        self.assertEqual(self.say("read boiler.flow", "@2 read boiler.flow"), [
            "error error TypeError within Lumina, its log says more",
            "@2 error error TypeError within Lumina, its log says more"])
        self.values.then(KeyError("x"))
        self.assertEqual(self.say("write boiler.flow 1"), ["error error KeyError within Lumina, its log says more"])
        self.assertEqual(len(self.flushLoggedErrors(TypeError, KeyError)), 3)


class Json(ValuesCase):
    """The same in JSON."""

    def objects(self, *lines: str) -> list[Any]:
        return [json.loads(line) for line in self.say(*lines)]

    def test_each_line_is_one_object(self) -> None:
        lines = [
            "format json", "list", "read *", "read! boiler.*", "write boiler.flow 1", "watch boiler.*", "unwatch",
            "history boiler.flow", "describe boiler.flow", "config boiler", "stats", "help", "nonsense", "bye",
        ]
        told = self.say(*lines)
        self.assertEqual(len(told), len(lines))
        self.assertEqual([type(parse_answer(line.encode())).__name__ for line in told], [
            "Speaking", "Points", "Readings", "Readings", "Written", "Readings", "Watching", "Past", "Described",
            "Configured", "Figures", "Hints", "Refused", "Goodbye"])

    def test_examples(self) -> None:
        flow = {"name": "boiler.flow", "value": 65.5, "unit_of_measure": "°C", "quality": "good", "why": "",
                "time": 1732467890.1234}
        self.assertEqual(self.objects("format json", "@1 read boiler.flow", "read boiler.flwo boiler.flow"), [
            {"ok": True, "format": "json"}, {"tag": "1", "ok": True, "values": [flow]},
            {"ok": True, "values": [{
                "name": "boiler.flwo", "error": "unknown_name",
                "message": "there is no value 'boiler.flwo'; did you mean 'boiler.flow'?"}, flow]}])

    def test_back_to_text(self) -> None:
        self.assertEqual(self.say("format json", "format text")[1:], ["# format text"])
        self.assertEqual(self.say("read boiler.flow"), [FLOW])


class Order(ValuesCase):
    """Which answer comes when."""

    def test_without_a_tag_in_the_order_of_the_lines(self) -> None:
        self.values.then(None, None)
        self.assertEqual(self.say("read! boiler.flow", "read! boiler.pump", "read boiler.pump", "nonsense"), [])
        self.answers(1).callback(Reading(False, Quality.GOOD, 0))
        self.assertEqual(self.told(), [])
        self.answers(0).callback(Reading(1.0, Quality.GOOD, 0))
        self.assertEqual([line.split()[:2] for line in self.told()], [
            ["boiler.flow", "1.0"], ["boiler.pump", "off"], ["boiler.pump", "on"], ["error", "invalid"]])

    def test_with_a_tag_when_it_is_ready(self) -> None:
        self.values.then(None, None)
        self.assertEqual(self.say("@a read! boiler.flow", "@b read! boiler.pump", "@c read boiler.pump", "@d x"), [
            f"@c {PUMP}", "@d error invalid there is no word 'x'; words are " + ", ".join(WORDS)])
        self.answers(1).callback(Reading(False, Quality.GOOD, 0))
        self.answers(0).errback(ResponseTimeout("no reply"))
        self.assertEqual(self.told(), [
            "@b boiler.pump off - good 1970-01-01T00:00:00.000Z", "@a error timeout no reply"])

    def test_a_read_says_what_the_write_before_it_has_set(self) -> None:
        self.values.then(None)
        self.assertEqual(self.say("write boiler.flow 70", "read boiler.flow"), [])
        self.values.tell("boiler.flow", 70.0)
        self.answers().callback(self.values.reading("boiler.flow"))
        self.assertEqual([line.split()[1] for line in self.told()], ["70.0", "70.0"])

    def test_bye_waits_for_what_was_asked(self) -> None:
        self.values.then(None, None)
        self.say("@a read! boiler.flow", "read! boiler.pump", "watch boiler.mode", "@z bye", "nonsense")
        self.answers(1).callback(Reading(False, Quality.GOOD, 0))
        self.assertEqual(len(self.told()), 2)
        self.assertFalse(self.client.is_closed)
        self.answers(0).callback(Reading(1.0, Quality.GOOD, 0))
        self.assertEqual(self.told(), ["@a boiler.flow 1.0 °C good 1970-01-01T00:00:00.000Z", "@z bye"])
        self.assertTrue(self.client.is_closed)

    def test_a_client_that_ends_its_side_gets_its_answers(self) -> None:
        self.values.then(None)
        self.say("read! boiler.flow", "read boiler.pump")
        self.client.protocol.readConnectionLost()
        self.assertFalse(self.client.is_closed)
        self.answers().callback(Reading(1.0, Quality.GOOD, 0))
        self.assertEqual(len(self.told()), 2)
        self.assertTrue(self.client.is_closed)

    def test_a_client_that_ends_its_side_within_a_line(self) -> None:
        """What came may be a part of what was meant: of ``write boiler.flow 65``, say."""
        self.values.then(None)
        self.say("read! boiler.pump")
        self.client.send(b"write boiler.flow 6")
        self.client.protocol.readConnectionLost()
        self.answers().callback(Reading(True, Quality.GOOD, 0))
        self.assertEqual(self.told()[1:], [
            "error invalid the last line, 'write boiler.flow 6', has no newline at its end, and was not carried out;"
            " send one"])
        self.assertEqual(len(self.values.asked), 1)
        self.assertTrue(self.client.is_closed)

    def test_a_stub_that_knows_of_no_lines(self) -> None:
        self.client.send(b"hel")
        self.client.send(b"lo")
        self.clock.advance(2.9)
        self.assertEqual(self.told(), [])
        self.clock.advance(0.2)
        [told] = self.told()
        self.assertTrue(told.startswith("# a line ends with a newline, and 'hello' has none yet"), told)
        self.assertIn("`echo`", told)
        self.clock.advance(60)
        self.assertEqual(self.say(" boiler.flow", "read boiler.flow")[1:], [FLOW])

    def test_who_knows_of_lines_may_take_its_time(self) -> None:
        self.client.send(b"read boil")
        self.clock.advance(2)
        self.assertEqual(self.say("er.flow"), [FLOW])
        self.client.send(b"read boil")
        self.clock.advance(60)
        self.assertEqual(self.say("er.flow"), [FLOW])

    def test_only_so_many_lines_wait(self) -> None:
        """The others are taken, and their devices asked, when there is room."""
        self.values.then(*(None for _ in range(300)))
        self.say(*(f"@{number} read! boiler.flow" for number in range(300)))
        protocol = self.client.protocol
        self.assertEqual(len(protocol.pending), values_client.MOST_WAITING)
        self.assertEqual(protocol.transport.producerState, "paused")
        told = []
        for asked in self.values.asked:  # it grows
            asked.answer.callback(Reading(1.0, Quality.GOOD, 0))
            told += self.told()
        self.assertEqual([line.split()[0] for line in told], [f"@{number}" for number in range(300)])
        self.assertEqual(protocol.transport.producerState, "producing")

    def test_no_line_is_taken_while_too_many_values_wait_to_be_asked(self) -> None:
        self.patch(values_client, "MOST_TO_ASK", 2)
        self.start(max_asked=1)
        self.values.then(None)
        self.assertEqual(self.say("@1 read! boiler.*", "@2 read boiler.pump"), [])
        self.answers().callback(Reading(1.0, Quality.GOOD, 0))
        self.assertEqual([line.split()[0] for line in self.told()], ["@1", "@1", "@1", "@2"])

    def test_many_lines_that_are_answered_at_once(self) -> None:
        self.client.protocol.pauseProducing()
        self.say(*("write boiler.flow 1" for _ in range(1000)))
        self.client.protocol.resumeProducing()
        self.assertEqual(len(self.told()), 1000)

    @QUICK
    @given(st.lists(st.tuples(st.sampled_from(["read", "read!", "write", "bad"]), st.booleans()), max_size=12),
           st.randoms(use_true_random=False), st.booleans())
    def test_whatever_is_asked(self, lines: list[tuple[str, bool]], chance: random.Random, in_pieces: bool) -> None:
        """Each line has one answer; those without a tag come in their order."""
        self.start(max_asked=3)
        self.values.then(*(None for _ in range(len(lines))))
        said = [
            (f"@{number} " if tagged else "") + {
                "read": "read boiler.pump", "read!": "read! boiler.flow", "write": f"write boiler.flow {number + 1}",
                "bad": f"word{number}",
            }[word]
            for number, (word, tagged) in enumerate(lines)
        ]
        data = "".join(f"{line}\r\n" for line in said).encode()
        for piece in ([data[at:at + 1] for at in range(len(data))] if in_pieces else [data]):
            self.client.protocol.dataReceived(piece)
        open_ = list(self.values.asked)
        while open_:
            asked = open_.pop(chance.randrange(len(open_)))
            before = len(self.values.asked)
            asked.answer.callback(Reading(float(asked.value or -1), Quality.GOOD, 0))
            open_ += self.values.asked[before:]
        told = self.told()
        self.assertEqual(sorted(line.split()[0] for line in told if line[0] == "@"), sorted(
            f"@{number}" for number, (_, tagged) in enumerate(lines) if tagged))
        expected = [_kind(word, number) for number, (word, tagged) in enumerate(lines) if not tagged]
        self.assertEqual([line for line in map(_shape, told) if line], expected)


def _kind(word: str, number: int) -> str:
    return {"read": "on", "read!": "-1.0", "write": f"{number + 1.0}", "bad": f"'word{number}';"}[word]


def _shape(line: str) -> str:
    words = line.split()
    return "" if line[0] == "@" else words[6] if words[0] == "error" else words[1]


class Watching(ValuesCase):
    """Changes as they come."""

    def test_present_readings_then_changes(self) -> None:
        self.assertEqual(self.say("watch boiler.flow boiler.pump"), [FLOW, PUMP])
        self.values.tell("boiler.flow", 66.0)
        self.values.tell("boiler.mode", "on")
        self.values.tell("boiler.pump", Reading(True, Quality.BAD, 0, "unit 3 is silent"))
        self.assertEqual(self.told(), [
            f"boiler.flow 66.0 °C good {TIME}", "boiler.pump on - bad 1970-01-01T00:00:00.000Z unit 3 is silent"])

    def test_tags(self) -> None:
        """The latest of a value's counts."""
        self.assertEqual(self.say("@a watch boiler.flow"), [f"@a {FLOW}"])
        self.say("@b watch boiler.pump", "format json")
        self.values.tell("boiler.flow", 66.0)
        self.values.tell("boiler.pump", False)
        told = [parse_answer(line.encode()) for line in self.told()]
        self.assertEqual([(type(one), one.tag) for one in told], [(Change, "a"), (Change, "b")])

    def test_unwatch(self) -> None:
        self.say("watch *")
        self.assertEqual(self.say("unwatch boiler.p* meter.power x.y"), ["# 2 watched"])
        self.values.tell("boiler.pump", False)
        self.values.tell("boiler.flow", 66.0)
        self.assertEqual(len(self.told()), 1)
        self.assertEqual(self.say("unwatch"), ["# 0 watched"])
        self.assertEqual(self.values.watched(), [])

    def test_names_that_are_none(self) -> None:
        told = self.say("watch boiler.flow boiler.x")
        self.assertEqual(told[0], FLOW)
        self.assertTrue(told[1].startswith("error unknown_name "))
        self.values.tell("boiler.flow", 66.0)
        self.assertEqual(len(self.told()), 1)
        self.assertEqual(len(self.say("watch boiler.x")), 1)

    def test_only_so_many(self) -> None:
        self.start(max_watched=2)
        self.say("watch boiler.flow")
        [told] = self.say("watch boiler.*")
        self.assertTrue(told.startswith("error overloaded a client may watch 2 values;"), told)
        self.assertEqual(len(self.say("watch boiler.flow boiler.pump")), 2)

    def test_a_watch_begins_when_it_is_answered(self) -> None:
        """No change comes before the readings it is a change of."""
        self.values.then(None)
        self.say("read! meter.power", "watch boiler.flow")
        self.values.tell("boiler.flow", 66.0)
        self.assertEqual(self.told(), [])
        self.answers().callback(Reading(1.0, Quality.GOOD, 0))
        self.assertEqual([line.split()[1] for line in self.told()], ["1.0", "66.0"])

    def test_a_watcher_that_has_ended_its_side(self) -> None:
        self.say("watch boiler.flow")
        self.client.protocol.readConnectionLost()
        self.values.tell("boiler.flow", 66.0)
        self.assertEqual(len(self.told()), 1)
        self.assertFalse(self.client.is_closed)
        self.assertTrue(self.listener.drain())
        self.assertTrue(self.client.is_closed)

    def test_one_that_leaves(self) -> None:
        other = self.listener.connect()
        self.say("watch boiler.flow")
        self.say("watch boiler.flow", client=other)
        self.client.leave()
        self.values.tell("boiler.flow", 66.0)
        self.assertEqual(len(self.told(other)), 1)
        other.leave()
        self.assertEqual(self.values.watched(), [])

    def test_one_that_leaves_while_others_are_told(self) -> None:
        other = self.listener.connect()
        self.say("watch boiler.flow")
        self.say("watch boiler.flow", client=other)
        self.client.protocol.transport.write = lambda _: other.leave()
        self.values.tell("boiler.flow", 66.0)
        self.assertEqual(self.told(other), [])

    def test_a_watcher_is_not_idle(self) -> None:
        self.start(idle_timeout=10)
        idle = self.listener.connect()
        self.say("watch boiler.flow")
        self.clock.advance(10)
        self.assertEqual((self.client.is_closed, idle.is_closed), (False, True))

    def test_a_change_is_written_once_for_all_of_a_format(self) -> None:
        calls = []
        text = self.values.text
        self.values.text = lambda *of: calls.append(of) or text(*of)  # type: ignore[func-returns-value,method-assign]
        for _ in range(5):
            self.say("@x watch boiler.flow", client=self.listener.connect())
        calls.clear()
        self.values.tell("boiler.flow", 66.0)
        self.assertEqual(len(calls), 1)


class Slow(ValuesCase):
    """Clients that read more slowly than they are written to, or not at all."""

    def pause(self) -> None:
        self.client.protocol.pauseProducing()

    def resume(self) -> None:
        self.client.protocol.resumeProducing()

    def test_it_gets_the_last_of_each(self) -> None:
        self.say("watch boiler.*")
        self.pause()
        for value in range(1000):
            self.values.tell("boiler.flow", float(value))
            self.values.tell("boiler.pump", value % 2 == 0)
        self.assertEqual(self.told(), [])
        self.resume()
        self.assertEqual(self.told(), [f"boiler.flow 999.0 °C good {TIME}", f"boiler.pump off - good {TIME}"])
        self.values.tell("boiler.flow", 1.0)
        self.assertEqual(len(self.told()), 1)

    def test_in_pieces(self) -> None:
        """Each that it takes shows that it reads, so no time runs out."""
        self.start(MemoryValues({f"a.p{number}": "x" * 100 for number in range(1000)}))
        self.say("watch *")
        self.pause()
        for name in self.values.names():
            self.values.tell(name, "y" * 100)
        transport, told = self.client.protocol.transport, []
        write = transport.write
        transport.write = lambda data: (write(data), self.pause())
        while len(told) < 1000:
            self.clock.advance(29)
            self.resume()
            more = self.told()
            self.assertLess(len(more), 200)
            told += more
        self.assertEqual(len({line.split()[0] for line in told}), 1000)

    def test_no_line_is_taken_meanwhile(self) -> None:
        self.pause()
        self.assertEqual(self.say("read boiler.flow", "write boiler.flow 1"), [])
        self.assertEqual(self.values.asked, [])
        self.assertEqual(self.client.protocol.transport.producerState, "paused")
        self.resume()
        self.assertEqual(len(self.told()), 2)
        self.assertEqual(self.client.protocol.transport.producerState, "producing")

    def test_answers_wait_too(self) -> None:
        self.values.then(None)
        self.say("read! boiler.flow", "read boiler.pump")
        self.pause()
        self.answers().callback(Reading(1.0, Quality.GOOD, 0))
        self.assertEqual(self.told(), [])
        self.resume()
        self.assertEqual(len(self.told()), 2)

    def test_one_that_does_not_read_is_dropped_in_time(self) -> None:
        self.start(stalled_after=30)
        self.say("watch boiler.flow")
        self.pause()
        self.clock.advance(29)
        self.resume()
        self.pause()
        self.clock.pump([1, 28])
        self.assertFalse(self.client.was_cut)
        self.clock.advance(1)
        self.assertTrue(self.client.was_cut)
        self.assertEqual(self.values.watched(), [])

    def test_one_that_reads_is_not(self) -> None:
        self.say("watch boiler.flow")
        self.pause()
        self.resume()
        self.clock.advance(100)
        self.assertFalse(self.client.was_cut)

    def test_one_that_does_not_read_is_dropped_at_its_bound(self) -> None:
        self.start(max_buffered=1000, max_asked=100)
        self.values.then(*(None for _ in range(50)))
        self.say(*(f"@{number} read! boiler.flow" for number in range(50)))
        self.pause()
        for asked in self.values.asked:
            if not asked.answer.called:
                asked.answer.addErrback(lambda failure: failure.trap(CancelledError))
                asked.answer.callback(Reading(1.0, Quality.GOOD, 0))
        self.assertTrue(self.client.was_cut)
        self.assertTrue(500 < len(self.client.received()) < 1200)

    def test_one_long_answer_is_no_sign(self) -> None:
        """A client that has read all there was is not dropped for what it is sent next."""
        self.start(MemoryValues({f"a.p{number}": "x" * 100 for number in range(1000)}), max_buffered=1000)
        transport = self.client.protocol.transport
        write = transport.write
        transport.write = lambda data: (write(data), self.pause())
        self.assertEqual(len(self.say("read *")), 1000)
        self.assertFalse(self.client.was_cut)

    def test_five_hundred_watchers_of_a_hundred_values(self) -> None:
        """Each sees every last value; the slow ones fewer before it."""
        self.start(MemoryValues({f"a.p{number}": 0 for number in range(100)}))
        watchers = [self.listener.connect() for _ in range(500)]
        for number, watcher in enumerate(watchers):
            self.say(f"@{number} watch *", "format json" if number % 2 else "format text", client=watcher)
            watcher.received()
        chance = random.Random(6)
        for turn in range(1, 4):
            slow = chance.sample(watchers, 100)
            for watcher in slow:
                watcher.protocol.pauseProducing()
            for name in self.values.names():
                self.values.tell(name, turn)
            for watcher in slow[:50] if turn < 3 else watchers:
                if watcher.protocol.is_full:
                    watcher.protocol.resumeProducing()
        for number, watcher in enumerate(watchers):
            seen = {}
            for line in watcher.received().splitlines():
                if number % 2:
                    change = parse_answer(line)
                    assert isinstance(change, Change)
                    self.assertEqual(change.tag, str(number))
                    seen[change.value.name] = change.value.reading.value
                else:
                    tag, name, value, *_ = line.decode().split()
                    self.assertEqual(tag, f"@{number}")
                    seen[name] = int(value)
            self.assertEqual(seen, dict.fromkeys(self.values.names(), 3))


class WatchedTests(ValuesCase):
    """What one client watches."""

    def test_what_is_watched_no_more_is_not_told(self) -> None:
        watched = Watched(self.listener.factory.watchers, 10)
        client = self.client.protocol
        watched.add(client, ["boiler.flow", "boiler.pump"], "")
        for name in ("boiler.flow", "boiler.pump"):
            change = ChangeLine(NamedReading(name, self.values.reading(name)), self.values.text)
            watched.keep(name, change)
        watched.remove(client, ["boiler.f*"])
        self.assertEqual((len(watched), watched.next_bytes("text").decode()), (1, f"{PUMP}\n"))
        self.assertFalse(watched.waiting)
        watched.remove(client, ["*"])


class Ends(ValuesCase):
    """What happens to clients that leave, and at the stop."""

    def test_what_one_that_leaves_asked_is_taken_back(self) -> None:
        self.start(max_asked=1)
        self.values.then(None)
        self.say("read! boiler.*", "@2 write boiler.flow 1")
        self.assertFalse(self.answers().called)
        self.client.leave()
        self.assertTrue(self.answers().called)
        self.assertEqual(len(self.values.asked), 1)

    def test_stop(self) -> None:
        self.values.then(None)
        other, watcher = self.listener.connect(), self.listener.connect()
        self.say("watch boiler.flow", client=watcher)
        watcher.protocol.pauseProducing()
        self.values.tell("boiler.flow", 66.0)
        self.say("read! boiler.flow", "read boiler.pump")
        drained = self.listener.drain()
        self.assertEqual((other.is_closed, watcher.is_closed, self.client.is_closed), (True, True, False))
        self.assertEqual(self.told(watcher), [f"boiler.flow 66.0 °C good {TIME}"])
        self.assertEqual(self.say("@1 read boiler.flow"), ["@1 error stopping the service is stopping"])
        self.answers().callback(Reading(1.0, Quality.GOOD, 0))
        self.assertEqual(len(self.told()), 2)
        self.assertTrue(self.client.is_closed)
        for client in (self.client, other, watcher):
            client.leave()
        self.successResultOf(drained)

    def test_one_too_many(self) -> None:
        self.start(max_connections=1)
        late = self.listener.connect()
        [told] = self.told(late)
        self.assertTrue(told.startswith("error overloaded 1 clients are connected, "), told)
        self.assertTrue(late.is_closed)
        late.leave()

    def test_a_line_without_an_end(self) -> None:
        self.say("watch boiler.flow")
        told = self.client.send(b"@7 read boiler.pump\n@8 read " + MAX_LINE * b"x").decode().splitlines()
        self.assertEqual(told[0], f"@7 {PUMP}")
        self.assertTrue(told[1].startswith("@8 error invalid the line is longer than 4096 bytes"), told)
        self.assertTrue(self.client.is_closed)

    def test_the_longest_line(self) -> None:
        self.assertEqual(self.say("read boiler.flow".ljust(MAX_LINE)), [FLOW])

    @QUICK
    @given(st.lists(st.binary(max_size=40) | st.sampled_from([b"\n", b"read boiler.flow\n", b"watch *\n", b"bye\n"])))
    def test_whatever_comes(self, pieces: list[bytes]) -> None:
        self.start()
        for piece in pieces:
            if not self.client.is_closed:
                self.client.protocol.dataReceived(piece)
        for line in self.told():
            self.assertRegex(line, r"^(@[!-~]{1,32} )?(boiler\.|meter\.|error [a-z_]+ |# |#$|bye$)")
        self.client.leave()


class NoDevices(SynchronousTestCase):
    """A configuration without devices."""

    def test_all_but_a_few_words_say_what_to_do(self) -> None:
        client = MemoryListener(ValuesFrontEnd()).connect()
        for line in (
            "list", "read a.b", "read! a.b", "read! *", "write a.b 1", "watch *", "history a.b", "describe a.b",
            "config a", "config a b=1",
        ):
            told = client.send(line.encode() + b"\n")
            self.assertTrue(told.startswith(b"error invalid no device is described; describe some in the"), told)
        told = client.send(b"help\nformat json\nstats\nunwatch\nbye\n")
        self.assertNotIn(b"no device", told)

    def test_context_has_none_by_default(self) -> None:
        self.assertIsNone({one.name: one for one in Context.__attrs_attrs__}["values"].default)


class Double(SynchronousTestCase):
    """:class:`MemoryValues` where no test above looks."""

    def test_values_without_a_description(self) -> None:
        values = MemoryValues({"a.b": ("x", "y"), "a.c": 3})
        self.assertEqual([values.describe(name).type for name in values.names()], ["bits", "u16"])
        self.assertEqual(values.text("a.b", ("x", "y")), "x,y")
        self.assertEqual(self.successResultOf(values.write(self, "a.b", "x", 1)).reading.value, ("x",))
        self.assertEqual(self.successResultOf(values.write(self, "a.b", "", 1)).reading.value, ())
        self.assertEqual((values.devices(), values.config("a")), (["a"], {}))
        self.assertIsInstance(Readings(()), Readings)
