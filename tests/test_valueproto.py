"""The value lines: commands and answers can be written and read again; what is no line raises a sentence."""

from __future__ import annotations

import json
import math
import shlex
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.errors import ConfigError, IllegalDataAddress, LineError, ResponseTimeout, error_from_reason
from lumina_twisted.valueproto import answer as answers
from lumina_twisted.valueproto import command as commands
from lumina_twisted.valueproto.answer import (
    NamedFault,
    NamedReading,
    json_body,
    parse_answer,
    reason_of,
    refused,
    tag_json,
)
from lumina_twisted.valueproto.command import MAX_LINE, WORDS, format_command, parse_command, tag_of
from lumina_twisted.valueproto.reading import PointDescription, Quality, Reading, iso_time
from lumina_twisted.valueproto.text_lines import ValueText, tag_text, text_body
from tests.strategies import QUICK

TAGS = st.just("") | st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=32)
SPEAKABLE = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=40)
NAMES = SPEAKABLE.filter(bool)
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
NUMBERS = st.integers(-(2**64), 2**64) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=5,
)

_name_lists = st.lists(NAMES, min_size=1, max_size=4).map(tuple)
_keys = NAMES.filter(lambda key: "=" not in key)
COMMANDS: st.SearchStrategy[commands.Command] = st.one_of(
    st.builds(commands.List, NAMES, tag=TAGS),
    st.builds(commands.Read, _name_lists, ask=st.booleans(), tag=TAGS),
    st.builds(commands.Write, NAMES, SPEAKABLE, tag=TAGS),
    st.builds(commands.Watch, _name_lists, tag=TAGS),
    st.builds(commands.Unwatch, _name_lists | st.just(()), tag=TAGS),
    st.builds(commands.History, NAMES, st.none() | st.integers(1, 1_000_000), tag=TAGS),
    st.builds(commands.Describe, NAMES, tag=TAGS),
    st.builds(commands.Config, NAMES, st.dictionaries(_keys, JSON, max_size=3), tag=TAGS),
    st.builds(commands.Speak, st.sampled_from(["text", "json"]), tag=TAGS),
    *(st.builds(kind, tag=TAGS) for kind in (commands.Stats, commands.Help, commands.Bye)),
)
VALUES = st.none() | st.booleans() | NUMBERS | TEXTS | st.lists(TEXTS, max_size=3).map(tuple)
READINGS = st.builds(
    Reading, VALUES, st.sampled_from(Quality), st.none() | st.floats(-1e11, 1e12), TEXTS
)
NAMED = st.builds(NamedReading, TEXTS, READINGS, TEXTS)
FAULTS = st.builds(NamedFault, TEXTS, TEXTS, TEXTS)
POINTS = st.builds(
    PointDescription, name=TEXTS, type=TEXTS, unit_of_measure=TEXTS, writable=st.booleans(), summary=TEXTS,
    low=st.none() | NUMBERS, high=st.none() | NUMBERS, words=st.lists(TEXTS, max_size=3).map(tuple), device=TEXTS,
    port=TEXTS, unit=st.integers(0, 255),
)
ANSWERS: st.SearchStrategy[answers.Answer] = st.one_of(
    st.builds(answers.Readings, st.lists(NAMED | FAULTS, max_size=3).map(tuple), tag=TAGS),
    st.builds(answers.Change, NAMED, tag=TAGS),
    st.builds(answers.Written, NAMED, tag=TAGS),
    st.builds(answers.Past, st.lists(NAMED, max_size=3).map(tuple), tag=TAGS),
    st.builds(answers.Points, st.lists(POINTS, max_size=2).map(tuple), tag=TAGS),
    st.builds(answers.Described, POINTS, tag=TAGS),
    st.builds(answers.Configured, TEXTS, st.dictionaries(TEXTS, JSON, max_size=3), tag=TAGS),
    st.builds(answers.Watching, st.integers(0, 10**6), tag=TAGS),
    st.builds(answers.Speaking, st.sampled_from(["text", "json"]), tag=TAGS),
    st.builds(
        answers.Figures, st.dictionaries(TEXTS, st.dictionaries(TEXTS, st.integers(), max_size=2), max_size=2), tag=TAGS
    ),
    st.builds(answers.Hints, st.lists(TEXTS, max_size=3).map(tuple), tag=TAGS),
    st.builds(answers.Goodbye, tag=TAGS),
    st.builds(answers.Refused, TEXTS, TEXTS, tag=TAGS),
)
T = 1732467890.1234
HOT = NamedReading("boiler.flow", Reading(65.5, Quality.GOOD, T), "°C")


def plain(name: str, value: object) -> str:
    """A value as a codec would write it."""
    return str(value)


class Commands(SynchronousTestCase):
    """Lines that a client sends."""

    def parsed(self, line: str) -> commands.Command | None:
        return parse_command(line.encode())

    @QUICK
    @given(COMMANDS)
    def test_round_trip(self, command: commands.Command) -> None:
        line = format_command(command)
        self.assertEqual(line.count(b"\n"), 1)
        self.assertEqual(parse_command(line[:-1]), command)
        self.assertEqual(parse_command(line[:-1] + b"\r"), command)

    @QUICK
    @given(st.one_of(
        st.binary(max_size=100), TEXTS.map(str.encode),
        st.tuples(st.sampled_from([*WORDS, "@x read"]), st.text(max_size=30)).map(
            lambda two: " ".join(two).encode("utf-8", "replace")
        ),
    ))
    def test_whatever_comes(self, line: bytes) -> None:
        """It is a command, nothing, or refused with its tag."""
        try:
            command = parse_command(line)
        except LineError as error:
            self.assertEqual(error.command_id, tag_of(line).encode())
            self.assertNotIn("\n", str(error))
        else:
            self.assertEqual(command.tag if command else "", tag_of(line))

    @QUICK
    @given(st.lists(NAMES, min_size=1, max_size=5))
    def test_arguments_are_split_as_a_shell_does(self, names: list[str]) -> None:
        self.assertEqual(self.parsed("read " + shlex.join(names)), commands.Read(tuple(names)))

    def test_examples(self) -> None:
        for line, command in (
            ("list", commands.List()),
            ("LIST boiler.*", commands.List("boiler.*")),
            ("  read  a.b\tc.d ", commands.Read(("a.b", "c.d"))),
            ("read! a.b", commands.Read(("a.b",), ask=True)),
            ('write a.b "eco mode"', commands.Write("a.b", "eco mode")),
            ("write a.b ''", commands.Write("a.b", "")),
            ("write a.b -3", commands.Write("a.b", "-3")),
            ("@7 watch *.*", commands.Watch(("*.*",), tag="7")),
            ("@a\"b' unwatch", commands.Unwatch(tag="a\"b'")),
            ("history a.b 10", commands.History("a.b", 10)),
            ("config boiler poll=2.5 summary='a b' on=true x=NaN", commands.Config(
                "boiler", {"poll": 2.5, "summary": "a b", "on": True, "x": "NaN"})),
            ("config boiler a=\"'b\" c='\"3\"' d=", commands.Config("boiler", {"a": "'b", "c": "3", "d": ""})),
            ("Format JSON", commands.Speak("json")),
            ("bye\r", commands.Bye()),
        ):
            self.assertEqual(self.parsed(line), command, line)

    def test_empty_lines_ask_nothing(self) -> None:
        for line in (b"", b" ", b"\r", b" \t\r"):
            self.assertIsNone(parse_command(line))

    def test_what_is_refused(self) -> None:
        for line, sentence in (
            ("raed a.b", "there is no word 'raed'; did you mean 'read'?"),
            ("xyzzy", "there is no word 'xyzzy'; words are list, read, read!, write,"),
            ("@7", "there is no word; words are"),
            ("@", "a tag is 1 to 32 ASCII characters"),
            ("@" + 33 * "x" + " read a", "a tag is 1 to 32 ASCII characters"),
            ("@é read a", "a tag is 1 to 32 ASCII characters"),
            ("read", "'read' needs more: read NAME…"),
            ("write a.b", "'write' needs more: write NAME VALUE"),
            ("write a.b eco mode", "'mode' is too much for write NAME VALUE; what has blanks stands in"),
            ('write a.b "eco', "a quotation mark is not closed"),
            ("write a.b eco\\", "nothing follows the last backslash"),
            ("read a.b ''", "a name is empty"),
            ("describe ''", "a name is empty in describe NAME; write one"),
            ("history a.b 0", "'0' is no count of changes; write a whole number from 1 to 1000000"),
            ("history a.b ²", "'²' is no count"),
            ("config a b", "'b' is no change; write KEY=VALUE, as poll=2.5"),
            ("config a b=1 b=2", "'b' is there twice"),
            ("config a " + 12 * "b." + "c=1", "'b.b.b.b.b.b.b.b.b.b.b.b.c=1' has more than 8 tables in each other"),
            ("config a b=" + 600 * "[" + "1" + 600 * "]", f"'b={35 * '['}...' has more than 8 tables"),
            ("format xml", "there is no format 'xml'; write format text or format json"),
            ("bye now", "'now' is too much for bye"),
            ("read a\x07b", "the line has the control character '\\x07'; leave it out"),
            ("read " + 60 * "x" + " bye\0", "the line has the control character '\\x00'"),
        ):
            error = self.assertRaises(LineError, self.parsed, line)
            self.assertTrue(str(error).startswith(sentence), (line, str(error)))
        error = self.assertRaises(LineError, parse_command, b"@9 read \xff")
        self.assertEqual((str(error), error.command_id), ("byte 9 of the line is not UTF-8; send UTF-8", b"9"))

    def test_what_no_line_can_say(self) -> None:
        for command in (
            commands.Write("a.b", "two\nlines"), commands.Write("a.b", "\udc00"), commands.Stats(tag="a b"),
            commands.Stats(tag="é"), commands.Write("a.b", MAX_LINE * "x"),
        ):
            self.assertRaises(LineError, format_command, command)

    def test_deep_nesting_is_a_text(self) -> None:
        line = f"config a b={3000 * '['}"
        self.assertEqual(self.parsed(line), commands.Config("a", {"b": 3000 * "["}))


def json_line(answer: answers.Answer) -> bytes:
    """As the front makes it."""
    return tag_json(json_body(answer), answer.tag)


def text_lines(answer: answers.Answer, value_text: ValueText) -> bytes:
    """As the front makes them."""
    return tag_text(text_body(answer, value_text), answer.tag)


class Json(SynchronousTestCase):
    """Answers in JSON."""

    @QUICK
    @given(ANSWERS)
    def test_round_trip(self, answer: answers.Answer) -> None:
        line = json_line(answer)
        self.assertEqual((line.count(b"\n"), line[-1:]), (1, b"\n"))
        self.assertEqual(parse_answer(line), answer)

    @QUICK
    @given(st.binary(max_size=60) | st.recursive(
        JSON, lambda inner: st.dictionaries(
            st.sampled_from(("ok", "tag", "change", "values", "error", "message", "names", "point", "stats")), inner
        ), max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()))
    def test_whatever_comes(self, line: bytes) -> None:
        try:
            self.assertIsInstance(parse_answer(line), answers.Answer)
        except LineError as error:
            self.assertIn("is no answer in JSON", str(error))

    def test_hostile_numbers(self) -> None:
        value = '{"change": {"name": "a.b", "value": %s, "quality": "good", "time": 0}}'
        for number in ("NaN", "Infinity", "1e999", "9" * 5000):
            self.assertRaises(LineError, parse_answer, (value % number).encode())
        low = '{"ok": true, "point": {"name": "a", "type": "u16", "writable": false, "low": %s}}'
        self.assertRaises(LineError, parse_answer, (low % ("1" * 400)).encode())
        self.assertRaises(LineError, parse_answer, b"[" * 100_000)
        self.assertRaises(LineError, parse_answer, b'{"ok": true, "device": "a", "config": {"b": NaN}}')

    def test_what_json_has_no_number_for_is_null(self) -> None:
        for value in (math.nan, math.inf, -math.inf):
            answer = answers.Change(NamedReading("a.b", Reading(value, Quality.GOOD, T)))
            self.assertEqual(json.loads(json_line(answer))["change"]["value"], None)
        odd = answers.Configured("a", {"low": math.nan, "b": [{"low": math.inf}]})
        self.assertIn(b'{"low": null, "b": [{"low": null}]}', json_line(odd))

    def test_examples(self) -> None:
        told = '{"name": "boiler.flow", "value": 65.5, "unit_of_measure": "°C", "quality": "good", "time": %s, '
        value = told % T + '"why": ""}'
        for answer, line in (
            (answers.Readings((HOT,)), f'{{"ok": true, "values": [{value}]}}'),
            (answers.Change(HOT, tag="w"), f'{{"tag": "w", "change": {value}}}'),
            (answers.Written(HOT, tag='"'), f'{{"tag": "\\"", "ok": true, "written": {value}}}'),
            (answers.Written(HOT, "no reply"), f'{{"ok": true, "written": {value}, "not_read_back": "no reply"}}'),
            (answers.Readings((NamedFault("a.b", "timeout", "no"),)),
             '{"ok": true, "values": [{"name": "a.b", "error": "timeout", "message": "no"}]}'),
            (answers.Refused("unknown_name", "no"), '{"ok": false, "error": "unknown_name", "message": "no"}'),
            (answers.Goodbye(), '{"ok": true, "bye": true}'),
        ):
            self.assertEqual(json_line(answer).decode(), line + "\n")

    def test_a_newer_server_may_say_more(self) -> None:
        line = b'{"ok": true, "new": 1, "values": [{"name": "a", "value": 1, "quality": "bad", "time": null, "x": 2}]}'
        self.assertEqual(parse_answer(line), answers.Readings((NamedReading("a", Reading(1, Quality.BAD, None)),)))


class Text(SynchronousTestCase):
    """Answers for people."""

    def told(self, answer: answers.Answer) -> list[str]:
        return text_lines(answer, plain).decode().splitlines()

    @QUICK
    @given(ANSWERS)
    def test_lines(self, answer: answers.Answer) -> None:
        """Each ends, has its tag, and no other answer needs more lines than it has parts."""
        told = text_lines(answer, plain)
        *lines, last = told.split(b"\n")
        self.assertTrue(lines and not last)
        mark = f"@{answer.tag} ".encode() if answer.tag else b""
        self.assertTrue(all(line.startswith(mark) for line in lines))
        self.assertEqual(tag_text(text_body(answer, plain), answer.tag), told)
        if isinstance(answer, answers.Readings):
            self.assertGreaterEqual(len(lines), len(answer.values))

    @QUICK
    @given(NAMED)
    def test_five_fields(self, named: NamedReading) -> None:
        """A program that knows quotation marks finds each."""
        [line] = self.told_of(NamedReading("a.b", named.reading, named.unit_of_measure))
        decoder, rest, fields = json.JSONDecoder(strict=True), line, []
        for _ in range(5):
            if rest.startswith('"'):
                field, end = decoder.raw_decode(rest)
                rest = rest[end:].lstrip(" ")
            else:
                field, _, rest = rest.partition(" ")
            fields.append(field)
        value = named.reading.value
        self.assertEqual(fields[:2], ["a.b", "-" if value is None else plain("a.b", value)])
        self.assertEqual(fields[2:4], [named.unit_of_measure or "-", named.reading.quality])

    def told_of(self, named: NamedReading) -> list[str]:
        return text_lines(answers.Change(named), plain).decode().removesuffix("\n").split("\n")

    def test_examples(self) -> None:
        bad = Reading(None, Quality.BAD, None, "unit 3 did not\nanswer")
        point = PointDescription(
            name="boiler.mode", type="u16", writable=True, summary="what it\n does", low=1, high=2.5,
            words=("eco", "on"), device="boiler", port="demo1", unit=3,
        )
        for answer, lines in (
            (answers.Readings((HOT, NamedReading("a.b", bad))), [
                "boiler.flow 65.5 °C good 2024-11-24T17:04:50.123Z", "a.b - - bad - unit 3 did not answer"]),
            (answers.Readings((NamedFault("a.b", "timeout", "no reply"), NamedFault("c.d", "x", "no 'c.d'"))), [
                "error timeout a.b: no reply", "error x no 'c.d'"]),
            (answers.Readings(()), ["# 0 values"]),
            (answers.Written(HOT, tag="3"), ["@3 boiler.flow 65.5 °C confirmed 2024-11-24T17:04:50.123Z"]),
            (answers.Written(HOT, "no\nreply"), [
                "boiler.flow 65.5 °C confirmed 2024-11-24T17:04:50.123Z not_read_back no reply"]),
            (answers.Past((HOT,), tag="3"), [
                "@3 boiler.flow 65.5 °C good 2024-11-24T17:04:50.123Z", "@3 # 1 change"]),
            (answers.Points((point,)), ["boiler.mode u16 - rw what it does", "# 1 value"]),
            (answers.Described(point), [
                "boiler.mode u16 - rw what it does", "# lowest  1", "# highest  2.5", "# words  eco, on",
                "# device  boiler, unit 3 of demo1", "#"]),
            (answers.Configured("boiler", {"poll": 1.0, "summary": "a b", "points": {"x": {"low": 3}, "y": {}}}), [
                "boiler poll=1.0", "boiler summary='a b'", "boiler points.x.low=3", "boiler points.y={}", "#"]),
            (answers.Watching(3), ["# 3 watched"]),
            (answers.Speaking("json"), ["# format json"]),
            (answers.Figures({"listener": {"clients": 1, "lines_in": 2}, "x": {}}), [
                "# listener  clients 1, lines in 2", "# x  nothing yet", "#"]),
            (answers.Hints(("a   b", "c\nd")), ["# a   b", "# c d", "#"]),
            (answers.Goodbye(), ["bye"]),
            (refused(ConfigError(["a.b: no", "c: no"]), "t"), ["@t error invalid a.b: no", "@t error invalid c: no"]),
        ):
            self.assertEqual(self.told(answer), lines)

    def test_settings_can_be_typed_back(self) -> None:
        for value in ("a b", "'\"", "3", 3, 2.5, True, [1, "a b"], "", "-"):
            [line, _] = self.told(answers.Configured("boiler", {"key": value}))
            self.assertEqual(parse_command(f"config {line}".encode()), commands.Config("boiler", {"key": value}), line)

    def test_texts_that_are_no_field(self) -> None:
        for text, shown in (
            ("", '""'), ("a b", '"a b"'), ("-", '"-"'), ('"', '"\\""'), ("a\nb", '"a\\nb"'), ("-1", "-1"),
            ("a\u2028b", '"a\\u2028b"'), ("é", "é"),
        ):
            [line] = self.told_of(NamedReading("a.b", Reading(text, Quality.GOOD, T)))
            self.assertTrue(line.startswith(f"a.b {shown} - good "), line)


class Errors(SynchronousTestCase):
    """What a client makes of an answer's token and sentence."""

    def test_they_come_back(self) -> None:
        for error in (ResponseTimeout("no reply"), IllegalDataAddress(unit=3, function_code=4)):
            back = error_from_reason(" ".join(reason_of(error)))
            self.assertIs(type(back), type(error))

    def test_what_a_device_says(self) -> None:
        told = reason_of(IllegalDataAddress(unit=3, function_code=4))
        self.assertEqual(told, ("exception", "2 illegal data address, says unit 3 of function 4"))


class Instants(SynchronousTestCase):
    """ISO 8601 without the standard library's datetime, which floor 0 does without."""

    @QUICK
    @given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
    def test_as_datetime_has_it(self, milliseconds: int) -> None:
        seconds, rest = divmod(milliseconds, 1000)
        told = (datetime(1970, 1, 1) + timedelta(seconds=seconds)).isoformat()
        self.assertEqual(iso_time(milliseconds / 1000), f"{told}.{rest:03d}Z")

    def test_no_instant(self) -> None:
        for seconds in (math.nan, math.inf, 1e300, 253_402_300_800, -62_135_596_801):
            self.assertEqual(iso_time(seconds), "-")

    @QUICK
    @given(st.floats())
    def test_any_number(self, seconds: float) -> None:
        self.assertIn(len(iso_time(seconds)), (1, 24))

