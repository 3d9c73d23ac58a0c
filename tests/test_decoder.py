"""What the decoder remembers from one call to the next, and what a byte may cost it."""

from __future__ import annotations

import random
from itertools import cycle, islice

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.errors import FrameError
from lumina_twisted.framing import rtu
from lumina_twisted.framing.crc import append_crc
from lumina_twisted.framing.rtu import OVERHEAD, Decoder, decode_adu, encode_adu
from lumina_twisted.modbus.functions import Buffer
from lumina_twisted.modbus.reply import ReplyPattern
from tests.golden import GOLDEN, UNIT, decoded, pattern_of, whole

REQUEST = encode_adu(UNIT, bytes.fromhex("03 0000 0032"))
REPLY = encode_adu(UNIT, b"\x03\x64" + bytes(100))
EXCEPTION = encode_adu(UNIT, b"\x83\x02")
FOREIGN = encode_adu(UNIT + 1, b"\x03\x02\x00\x07")
UNKNOWN_REQUEST = encode_adu(UNIT, b"\x41")
UNKNOWN_REPLY = encode_adu(UNIT, b"\x41" + bytes((UNIT, 0x41)) * 3)


class CountedPattern(ReplyPattern):
    """Counts how often it is asked."""

    asked = 0

    def measure(self, buffer: Buffer, start: int) -> int:
        """Counts, and asks the real one."""
        self.asked += 1
        return super().measure(buffer, start)


def counted(frame: bytes, hint: int = 0) -> CountedPattern:
    """The pattern of the reply to an RTU frame."""
    return CountedPattern(frame[0], frame[1:-2], max(0, hint - OVERHEAD))


class WorkTests(SynchronousTestCase):
    """A flood of junk costs a glance per byte, whatever it looks like and however it comes."""

    LENGTH = 6000

    def flood(self, junk: bytes, size: int, pattern: CountedPattern) -> tuple[float, float]:
        """Glances per byte, and bytes whose CRC was computed per byte."""
        summed, real = 0, rtu.crc16

        def counted(data: bytes) -> int:
            nonlocal summed
            summed += len(data)
            return real(data)

        self.patch(rtu, "crc16", counted)
        stream = bytes(islice(cycle(junk), self.LENGTH))
        decoder, patterns = Decoder(), (pattern,)
        for at in range(0, len(stream), size):
            decoder.receive(stream[at : at + size])
            while decoder.next_frame(patterns) is not None:
                pass
        return pattern.asked / self.LENGTH, summed / self.LENGTH

    def test_junk(self) -> None:
        noise = random.Random(3).randbytes(self.LENGTH)
        for junk in (noise, b"\0", b"\xff", bytes((UNIT,)), REPLY[:3], REPLY[:2], EXCEPTION[:2], REPLY[:20]):
            for size in (1, 7, 100):
                glances, summed = self.flood(junk, size, counted(REQUEST))
                self.assertLessEqual(glances, 3, (junk[:20], size))
                self.assertLessEqual(summed, 105, (junk[:20], size))

    def test_junk_that_begins_like_an_unknown_function(self) -> None:
        """Where only silence ends the frame, each byte that comes is still looked at but once."""
        for junk in (UNKNOWN_REPLY[:2], UNKNOWN_REPLY[:2] + bytes(500), UNKNOWN_REPLY[:2] + bytes((UNIT,)) * 500):
            for size in (1, 7, 100):
                for hint in (0, 9):
                    glances, _ = self.flood(junk, size, counted(UNKNOWN_REQUEST, hint))
                    self.assertLessEqual(glances, 5, (junk[:5], size, hint))


class HintTests(SynchronousTestCase):
    """The length that a caller guessed ends an unknown function's reply however it comes."""

    def found(self, pieces: list[bytes], hint: int) -> list[bytes]:
        decoder, patterns, frames = Decoder(), (pattern_of(UNKNOWN_REQUEST, hint),), []
        for piece in pieces:
            decoder.receive(piece)
            if decoded := decoder.next_frame(patterns):
                frames.append(whole(decoded))
        return frames

    def test_in_pieces(self) -> None:
        for at in range(1, len(UNKNOWN_REPLY)):
            pieces = [UNKNOWN_REPLY[:at], UNKNOWN_REPLY[at:]]
            self.assertEqual(self.found(pieces, len(UNKNOWN_REPLY)), [UNKNOWN_REPLY], at)

    def test_a_byte_at_a_time(self) -> None:
        pieces = [UNKNOWN_REPLY[at : at + 1] for at in range(len(UNKNOWN_REPLY))]
        self.assertEqual(self.found(pieces, len(UNKNOWN_REPLY)), [UNKNOWN_REPLY])

    def test_again(self) -> None:
        """What was noted of the first reply, or of junk, is forgotten with it."""
        halves = [UNKNOWN_REPLY[:4], UNKNOWN_REPLY[4:]]
        self.assertEqual(self.found([b"\xff\xff\xff", *halves, *halves], len(UNKNOWN_REPLY)), [UNKNOWN_REPLY] * 2)
        self.assertEqual(self.found([UNKNOWN_REPLY[:2] + bytes(600), *halves], len(UNKNOWN_REPLY)), [UNKNOWN_REPLY])

    def test_a_wrong_guess_ends_nothing(self) -> None:
        for hint in (len(UNKNOWN_REPLY) - 1, len(UNKNOWN_REPLY) + 1):
            self.assertEqual(self.found([UNKNOWN_REPLY], hint), [])


class PatternsTests(SynchronousTestCase):
    """What is waited for changes."""

    def test_others_are_looked_for_in_what_is_there(self) -> None:
        decoder = Decoder()
        decoder.receive(b"\xff\xff" + REPLY)
        self.assertIsNone(decoder.next_frame(()))
        patterns = (pattern_of(REQUEST),)
        self.assertEqual(decoder.next_frame(patterns), decoded(REPLY, patterns[0]))

    def test_lengths_that_no_frame_has(self) -> None:
        """A queue of 65,535 bytes: whatever follows its head is not held back for it."""
        (one,) = (one for one in GOLDEN if one.request_pdu[0] == 24)
        decoder, patterns = Decoder(), (pattern_of(one.request_frame),)
        decoder.receive(one.reply_frame[:2] + b"\xff\xff" + one.reply_frame)
        self.assertEqual(decoder.next_frame(patterns), decoded(one.reply_frame, patterns[0]))

    def test_the_longest_of_varying_length(self) -> None:
        """A server's id that fills the frame."""
        patterns = (pattern_of(encode_adu(UNIT, b"\x11")),)
        reply = encode_adu(UNIT, b"\x11\xfb" + bytes(251))
        decoder = Decoder()
        decoder.receive(b"\xff" + reply)
        self.assertEqual(decoder.next_frame(patterns), decoded(reply, patterns[0]))

    def test_a_head_across_the_bound(self) -> None:
        """Where the buffer was cut, what was not looked at yet still is."""
        for size in range(240, 290):
            decoder, patterns = Decoder(), (pattern_of(REQUEST),)
            decoder.receive(b"\xff" * size)
            self.assertIsNone(decoder.next_frame(patterns))
            decoder.receive(b"\xff" * 256 + REPLY[:50])
            self.assertIsNone(decoder.next_frame(patterns))
            decoder.receive(REPLY[50:])
            self.assertEqual(decoder.next_frame(patterns), decoded(REPLY, patterns[0]), size)


class BegunTests(SynchronousTestCase):
    """Whether a reply has begun: a caller waits a little longer for one that has."""

    def setUp(self) -> None:
        self.decoder = Decoder()
        self.pattern = pattern_of(REQUEST)

    def hear(self, data: bytes) -> bool:
        self.decoder.receive(data)
        self.assertIsNone(self.decoder.next_frame((self.pattern,)))
        return self.decoder.begun(self.pattern)

    def test_not_before_its_whole_header(self) -> None:
        self.assertFalse(self.hear(b""))
        self.assertFalse(self.hear(REPLY[:1]))
        self.assertFalse(self.hear(REPLY[1:2]))
        self.assertTrue(self.hear(REPLY[2:3]))

    def test_behind_junk(self) -> None:
        self.assertTrue(self.hear(b"\xff\xff" + REPLY[:3]))

    def test_junk_begins_nothing(self) -> None:
        self.assertFalse(self.hear(b"\xff" * 20 + FOREIGN[:3]))

    def test_damaged(self) -> None:
        """It came whole, with a wrong CRC, and none of it is left that could be its header."""
        self.assertTrue(self.hear(REPLY[:-1] + bytes((REPLY[-1] ^ 1,))))
        self.assertEqual(self.decoder.damaged, (self.pattern,))
        self.assertFalse(self.decoder.begun(pattern_of(GOLDEN[0].request_frame)))
        self.decoder.clear()
        self.assertEqual(self.decoder.damaged, ())
        self.assertFalse(self.decoder.begun(self.pattern))


class BurstTests(SynchronousTestCase):
    """A foreign frame counts only where a burst begins."""

    def bounded(self) -> Decoder:
        """A decoder whose buffer was cut in the middle of a flood."""
        decoder = Decoder()
        decoder.receive(b"\xff" * 600)
        self.assertIsNone(decoder.next_frame(()))
        return decoder

    def test_clear_begins_one(self) -> None:
        decoder = self.bounded()
        decoder.clear()
        decoder.receive(FOREIGN)
        self.assertEqual(decoder.next_frame(()), decoded(FOREIGN, None))

    def test_a_frame_begins_one(self) -> None:
        decoder, patterns = self.bounded(), (pattern_of(REQUEST),)
        decoder.receive(REPLY + FOREIGN)
        self.assertEqual(decoder.next_frame(patterns), decoded(REPLY, patterns[0]))
        self.assertEqual(decoder.next_frame(patterns), decoded(FOREIGN, None))

    def test_an_unknown_one_too(self) -> None:
        decoder = self.bounded()
        decoder.clear()
        decoder.receive(UNKNOWN_REPLY)
        self.assertEqual(decoder.end_of_burst(()), decoded(UNKNOWN_REPLY, None))

    def test_one_of_unknown_length_inside_a_flood_is_none(self) -> None:
        """Silence ends it with a good CRC, but nobody waits for it and it began no burst."""
        decoder = Decoder()
        decoder.receive(b"\xff" * 300 + encode_adu(UNIT, b"\x41" * 253))
        self.assertIsNone(decoder.next_frame(()))
        self.assertEqual(len(decoder), 256)
        self.assertIsNone(decoder.end_of_burst(()))


class SizeTests(SynchronousTestCase):
    """The shortest and the longest frame."""

    def test_both_are_frames(self) -> None:
        for length in (1, 253):
            pdu = bytes((0x41,)) * length
            self.assertEqual(decode_adu(encode_adu(UNIT, pdu)), (UNIT, pdu))
            decoder, patterns = Decoder(), (pattern_of(UNKNOWN_REQUEST),)
            decoder.receive(encode_adu(UNIT, pdu))
            self.assertIsNotNone(decoder.end_of_burst(patterns))

    def test_longer_is_none(self) -> None:
        """Not even if silence ends it with a good CRC."""
        for patterns in ((), (pattern_of(UNKNOWN_REQUEST),)):
            decoder = Decoder()
            decoder.receive(append_crc(bytes((UNIT,)) + b"\x41" * 254))
            self.assertIsNone(decoder.next_frame(patterns))
            self.assertIsNone(decoder.end_of_burst(patterns))

    def test_errors_carry_what_they_are_about(self) -> None:
        error = self.assertRaises(FrameError, decode_adu, b"\x11\x03\x00\x00")
        self.assertEqual((error.unit, error.function_code, error.frame), (0x11, 3, b"\x11\x03\x00\x00"))


class WholeTests(SynchronousTestCase):
    """A burst that is one whole reply is taken without a search, and is the same that the search finds."""

    def test_the_search_finds_the_same(self) -> None:
        chance, taken = random.Random(14), 0
        for one in GOLDEN:
            pattern, reply = pattern_of(one.request_frame), one.reply_frame
            flipped = bytearray(reply)
            flipped[chance.randrange(len(reply))] ^= 1 << chance.randrange(8)
            others = (
                reply[:-1], reply[1:], reply + b"\0", b"\0" + reply, reply + reply, bytes(flipped), b"", reply[:2],
                one.request_frame, encode_adu(UNIT, bytes((one.request_pdu[0] | 0x80, 2))), encode_adu(
                    UNIT + 1, one.reply_pdu
                ),
            )
            for burst in (reply, *others):
                pdu = Decoder().take_whole(burst, pattern)
                if pdu is None:
                    continue
                taken += 1
                searched = Decoder()
                searched.receive(burst)
                self.assertEqual(searched.next_frame((pattern,)), decoded(encode_adu(UNIT, pdu), pattern), one.request)
                self.assertEqual((len(searched), searched.junk), (0, 0), one.request)
                self.assertEqual(burst, reply, one.request)
        self.assertGreater(taken, len(GOLDEN) / 2)

    def test_not_if_something_came_before(self) -> None:
        decoder, pattern = Decoder(), pattern_of(REQUEST)
        self.assertEqual(decoder.take_whole(REPLY, pattern), REPLY[1:-2])
        self.assertEqual((len(decoder), decoder.junk), (0, 0))
        decoder.receive(b"\0")
        self.assertIsNone(decoder.take_whole(REPLY, pattern))
        self.assertEqual(len(decoder), 1)
