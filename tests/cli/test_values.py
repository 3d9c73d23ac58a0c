"""``lumina read`` and ``write`` where the bus is a script: what is asked, and what is said when half of it fails."""

from __future__ import annotations

import io
import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.cli.main import main
from lumina_twisted.cli.registers import decoded
from lumina_twisted.framing.rtu import encode_adu
from lumina_twisted.lineproto import Command
from lumina_twisted.modbus.pdu.layout import pack_words
from lumina_twisted.modbus.registers import encode
from tests.cli.case import run_main
from tests.cli.scripted_server import lumina
from tests.strategies import QUICK


def registers(*words: int) -> bytes:
    """The reply of unit 1 that has them."""
    return encode_adu(1, bytes((3, 2 * len(words))) + pack_words(words))


def asked(command: Command) -> tuple[int, int]:
    """Address and quantity of a read."""
    return int.from_bytes(command.frame[2:4], "big"), int.from_bytes(command.frame[4:6], "big")


class Reading(SynchronousTestCase):
    """Long ranges, watches, and how values are shown."""

    def test_long_range(self) -> None:
        """No value is put together from two requests."""
        ranges = []

        def answer(command: Command) -> bytes:
            ranges.append(asked(command))
            return registers(*range(ranges[-1][1]))

        with lumina(answer) as server:
            words = ("read", "bus", "1", "holding", "10", "--server", server.place)
            run_main(*words, "--count", "300")
            run_main(*words, "--count", "70", "--type", "u32")
            run_main(*words, "--count", "2", "--type", "string", "--length", "100")
        self.assertEqual(ranges, [
            (10, 125), (135, 125), (260, 50), (10, 124), (134, 16), (10, 100), (110, 100),
        ])

    def test_half_of_a_range(self) -> None:
        """What was read is told, and where it ended."""

        def answer(command: Command) -> bytes | str:
            first, quantity = asked(command)
            return registers(*[7] * quantity) if first == 0 else "exception 2 illegal data address"

        with lumina(answer) as server:
            status, out, err = run_main("read", "bus", "1", "holding", "0", "--count", "200", "--server", server.place)
        self.assertEqual((status, out.count("\n")), (1, 125))
        self.assertIn("illegal data address, asked for 125 to 199\n", err)

    def test_watch_goes_on(self) -> None:
        """What fails is told, and it is read again; only Ctrl-C ends it."""
        answers = iter(["timeout no reply", registers(5), "port_closed bus is unplugged", registers(6)])

        class Person(io.StringIO):
            def write(self, text: str) -> int:
                if text == "0 6":
                    raise KeyboardInterrupt
                return super().write(text)

        out, err = Person(), io.StringIO()
        with lumina(lambda command: next(answers)) as server:
            words = ["read", "bus", "1", "holding", "0", "--watch", "0.01", "--server", server.place]
            self.assertEqual(main(words, None, out, err), 130)
        self.assertEqual((out.getvalue(), err.getvalue()), ("0 5\n", "lumina: no reply\nlumina: bus is unplugged\n"))

    def test_watch_of_nothing(self) -> None:
        """What is wrong with the request itself does not get better."""
        with lumina(lambda command: "invalid there is no port 'bus'") as server:
            status, _, err = run_main("read", "bus", "1", "holding", "0", "--watch", "1", "--server", server.place)
        self.assertEqual((status, err), (2, "lumina: there is no port 'bus'\n"))

    def test_numbers_that_json_has_not(self) -> None:
        for value, shown in (("nan", "nan"), ("inf", "inf"), ("-inf", "-inf")):
            with lumina(lambda command, value=value: registers(*encode(float(value), "f32"))) as server:  # type: ignore[misc]
                words = ("read", "bus", "1", "holding", "0", "--type", "f32", "--server", server.place)
                self.assertEqual(run_main(*words)[1], f"0 {shown}\n")
                self.assertIsNone(json.loads(run_main(*words, "--json")[1])["value"])

    @QUICK
    @given(st.floats(width=32, allow_nan=False, allow_infinity=False))
    def test_shortest_numbers(self, value: float) -> None:
        """What is shown, when it is written, gives the same registers."""
        options = type("Options", (), {"type": "f32", "word_order": "big", "byte_order": "big"})
        shown = decoded(encode(value, "f32"), options)
        self.assertEqual(encode(float(str(shown)), "f32"), encode(value, "f32"))
        self.assertLessEqual(len(repr(shown)), len(repr(value)))
        self.assertEqual(decoded(encode(230.4, "f32"), options), 230.4)


class Writing(SynchronousTestCase):
    """One request, and what is known afterwards."""

    def test_functions(self) -> None:
        """One by 5 or 6, several, or one that must, by 15 or 16."""
        codes = []

        def answer(command: Command) -> bytes:
            codes.append(command.frame[1])
            return encode_adu(1, command.frame[1:6])

        with lumina(answer) as server:
            for words in (
                "coil 0 on", "coil 0 on off", "coil 0 on --multiple", "holding 0 1", "holding 0 1 2",
                "holding 0 1 --multiple", "holding 0 1 --type f32", "holding 0 -1 --type i16",
            ):
                status, _, err = run_main("write", "bus", "1", *words.split(), "--server", server.place)
                self.assertEqual((status, err), (0, ""), words)
        self.assertEqual(codes, [5, 15, 15, 6, 16, 16, 16, 6])

    def test_values_wherever_they_stand(self) -> None:
        """Negative ones, and on both sides of an option."""
        for words in (
            "holding 0 -1e5 nan -.5 --type f32", "holding 0 --type f32 -1e5 nan -.5",
            "--type f32 holding 0 -1e5 nan -.5", "holding 0 -1e5 --type f32 nan -.5",
            "holding 0 --type=f32 -- -1e5 nan -.5",
        ):
            frames: list[bytes] = []

            def answer(command: Command, frames: list[bytes] = frames) -> bytes:
                frames.append(command.frame)
                return encode_adu(1, command.frame[1:6])

            with lumina(answer) as server:
                run_main("--server", server.place, "write", "bus", "1", *words.split())
            values = [*encode(-1e5, "f32"), *encode(float("nan"), "f32"), *encode(-0.5, "f32")]
            self.assertEqual([one[7:-2] for one in frames], [pack_words(values)], words)

    def test_outcome_unknown(self) -> None:
        """It has a sentence of its own, and a word in JSON."""
        with lumina(lambda command: "outcome_unknown it was sent, and no reply came") as server:
            words = ("write", "bus", "1", "coil", "0", "on", "--server", server.place)
            status, out, err = run_main(*words)
            self.assertEqual((status, out), (1, ""))
            self.assertEqual(
                err, "lumina: it was sent, and no reply came. Read it back before you write it again\n"
            )
            self.assertEqual(json.loads(run_main(*words, "--json")[1])["error"], "outcome_unknown")
