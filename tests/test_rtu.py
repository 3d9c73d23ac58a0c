"""The RTU frame and the decoder, on hostile transports: a byte at a time, split at every offset, with junk around,
with loss, with floods; and any bytes at all."""

from __future__ import annotations

import random
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.errors import FrameError, RequestError
from lumina_twisted.framing.crc import append_crc, crc_ok
from lumina_twisted.framing.rtu import (
    Decoder,
    check_request_frame,
    decode_adu,
    encode_adu,
)
from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.functions import request_length
from lumina_twisted.modbus.reply import Pattern, WholeMessage
from tests.golden import GOLDEN, UNIT, Golden, decoded, pattern_of, whole
from tests.strategies import QUICK

JUNK = (
    b"\x00", b"\xff", b"\x00" * 3, b"\xff" * 7, b"\x55\xaa", bytes(range(0x20, 0x40)), bytes((UNIT,)),
    bytes((UNIT, 3)), bytes((UNIT, 0x83)), b"\x00\xff" * 8,
)
UNKNOWN_FRAME = encode_adu(UNIT, b"\x41hello")


def patterns_of(one: Golden) -> tuple[Pattern, ...]:
    """What a transaction waits for: its reply, and nothing else."""
    return (pattern_of(one.request_frame),)


def fed(decoder: Decoder, pieces: Iterable[bytes], patterns: tuple[Pattern, ...] = ()) -> list[bytes]:
    """The frames that come out while pieces go in."""
    found = []
    for piece in pieces:
        decoder.receive(piece)
        while (decoded := decoder.next_frame(patterns)) is not None:
            found.append(whole(decoded))
    return found


def silent(decoder: Decoder, patterns: tuple[Pattern, ...] = ()) -> list[bytes]:
    """The frames that come out of a silence."""
    found = []
    while (decoded := decoder.end_of_burst(patterns)) is not None:
        found.append(whole(decoded))
    return found


def single_bytes(data: bytes) -> list[bytes]:
    """One at a time."""
    return [data[at : at + 1] for at in range(len(data))]


class FrameTests(SynchronousTestCase):
    """Unit, PDU, CRC."""

    def test_golden(self) -> None:
        self.assertEqual(encode_adu(1, bytes.fromhex("0300000001")), bytes.fromhex("010300000001840a"))
        self.assertEqual(decode_adu(bytes.fromhex("010300000001840a")), (1, bytes.fromhex("0300000001")))

    @QUICK
    @given(st.integers(0, 255), st.binary(min_size=1, max_size=253))
    def test_round_trip(self, unit: int, data: bytes) -> None:
        self.assertEqual(decode_adu(encode_adu(unit, data)), (unit, data))

    def test_what_cannot_be_framed(self) -> None:
        for unit, data in ((-1, b"\x03"), (256, b"\x03"), (1, b""), (1, bytes(254))):
            self.assertRaises(RequestError, encode_adu, unit, data)

    def test_what_is_no_frame(self) -> None:
        for frame in (b"", b"\x01", append_crc(b"\x01"), append_crc(bytes(255)), b"\x01\x03\x00\x00"):
            self.assertRaises(FrameError, decode_adu, frame)

    @QUICK
    @given(st.binary(max_size=300))
    def test_any_bytes(self, frame: bytes) -> None:
        for check in (decode_adu, check_request_frame):
            try:
                check(frame)
            except FrameError:
                continue
            self.assertTrue(crc_ok(frame))

    def test_request_frames(self) -> None:
        for one in GOLDEN:
            check_request_frame(one.request_frame)
        check_request_frame(UNKNOWN_FRAME)

    def test_request_of_another_length(self) -> None:
        for text in ("03 0000 00", "03 0000 0001 00", "10 0000 0001 02 00", "10 0000 0001"):
            error = self.assertRaises(FrameError, check_request_frame, encode_adu(1, bytes.fromhex(text)))
            self.assertIn(f"function {int(text[:2], 16)}", str(error))


class HostileTransportTests(SynchronousTestCase):
    """Every golden reply on its way to the one who waits, and every request on its way to a device."""

    def each(self) -> Iterable[tuple[Decoder, bytes, tuple[Pattern, ...]]]:
        for one in GOLDEN:
            yield Decoder(), one.reply_frame, patterns_of(one)
            if one.request_pdu[0] != 8:  # its request ends at silence only
                yield Decoder(request_length), one.request_frame, ()

    def test_whole(self) -> None:
        for decoder, frame, patterns in self.each():
            self.assertEqual(fed(decoder, [frame], patterns), [frame])
            self.assertEqual((decoder.junk, len(decoder)), (0, 0))

    def test_the_pattern_is_told(self) -> None:
        for one in GOLDEN:
            decoder, patterns = Decoder(), patterns_of(one)
            decoder.receive(one.reply_frame)
            self.assertEqual(decoder.next_frame(patterns), decoded(one.reply_frame, patterns[0]))

    def test_a_byte_at_a_time(self) -> None:
        for decoder, frame, patterns in self.each():
            pieces = single_bytes(frame)
            self.assertEqual(fed(decoder, pieces[:-1], patterns), [], frame)
            self.assertEqual(fed(decoder, pieces[-1:], patterns), [frame])

    def test_split_at_every_offset(self) -> None:
        for decoder, frame, patterns in self.each():
            for at in range(1, len(frame)):
                self.assertEqual(fed(decoder, [frame[:at], frame[at:]], patterns), [frame], (frame, at))
            self.assertEqual((decoder.junk, len(decoder)), (0, 0))

    def test_two_in_one_piece(self) -> None:
        for decoder, frame, patterns in self.each():
            self.assertEqual(fed(decoder, [frame + frame], patterns), [frame, frame])

    def test_junk_before_a_reply(self) -> None:
        for junk in JUNK:
            for one in GOLDEN:
                for pieces in ([junk + one.reply_frame], single_bytes(junk + one.reply_frame)):
                    decoder, patterns = Decoder(), patterns_of(one)
                    found = fed(decoder, pieces, patterns) or silent(decoder, patterns)
                    self.assertEqual(found, [one.reply_frame], (junk, one.reply))
                    self.assertEqual(decoder.junk, len(junk))

    def test_junk_after_a_reply(self) -> None:
        for junk in JUNK:
            for one in GOLDEN:
                decoder, patterns = Decoder(), patterns_of(one)
                self.assertEqual(fed(decoder, [one.reply_frame + junk], patterns), [one.reply_frame])
                self.assertEqual(decoder.clear(), len(junk))

    def test_a_device_forgets_junk_at_silence(self) -> None:
        for junk in JUNK:
            for one in GOLDEN:
                decoder = Decoder(request_length)
                self.assertEqual(fed(decoder, [junk]), [])
                self.assertEqual(silent(decoder), [])
                decoder.clear()
                self.assertEqual(fed(decoder, [one.request_frame]) or silent(decoder), [one.request_frame])

    def test_damage_then_the_reply(self) -> None:
        """A reply with a wrong CRC, and the whole one right behind it."""
        for one in GOLDEN:
            for at in range(len(one.reply_frame)):
                damaged = bytearray(one.reply_frame)
                damaged[at] ^= 0x5A
                decoder, patterns = Decoder(), patterns_of(one)
                found = fed(decoder, [bytes(damaged), one.reply_frame], patterns) or silent(decoder, patterns)
                self.assertEqual(found, [one.reply_frame], (one.reply, at))

    def test_seeded_loss(self) -> None:
        """One byte in twenty is lost, one in twenty changed: what comes out was sent, and much does come out."""
        dice = random.Random(20)
        came = sent = 0
        for _ in range(60):
            for one in GOLDEN:
                decoder, patterns = Decoder(), patterns_of(one)
                pieces = [self.hurt(byte, dice) for byte in single_bytes(one.reply_frame * 2)]
                found = fed(decoder, pieces, patterns) + silent(decoder, patterns)
                self.assertEqual(set(found) - {one.reply_frame}, set())
                came, sent = came + len(found), sent + 2
        self.assertGreater(came, sent // 4)

    @staticmethod
    def hurt(byte: bytes, dice: random.Random) -> bytes:
        fate = dice.randrange(20)
        return b"" if fate == 0 else bytes((byte[0] ^ dice.randrange(1, 256),)) if fate == 1 else byte


class ForeignFrameTests(SynchronousTestCase):
    """Frames nobody waits for."""

    def test_whole_at_the_start_of_a_burst(self) -> None:
        mine = GOLDEN[2]
        foreign = encode_adu(UNIT + 1, mine.reply_pdu)
        decoder, patterns = Decoder(), patterns_of(mine)
        decoder.receive(foreign + mine.reply_frame)
        self.assertEqual(decoder.next_frame(patterns), decoded(foreign, None))
        self.assertEqual(decoder.next_frame(patterns), decoded(mine.reply_frame, patterns[0]))

    def test_told_apart_from_mine(self) -> None:
        mine = GOLDEN[2]
        foreign = encode_adu(UNIT + 1, mine.reply_pdu)
        decoder = Decoder()
        decoder.receive(foreign)
        self.assertEqual(decoder.next_frame(patterns_of(mine)), decoded(foreign, None))

    def test_never_inside_a_burst(self) -> None:
        foreign = encode_adu(UNIT + 1, b"\x03\x02\x00\x07")
        decoder = Decoder()
        self.assertEqual(fed(decoder, [b"\xff" + foreign], patterns_of(GOLDEN[2])), [])

    def test_several_patterns(self) -> None:
        """A reply that is owed, and the one that is waited for."""
        waited, owed = GOLDEN[2], GOLDEN[3]
        patterns = (*patterns_of(waited), *patterns_of(owed))
        decoder = Decoder()
        decoder.receive(owed.reply_frame + waited.reply_frame)
        self.assertEqual(decoder.next_frame(patterns), decoded(owed.reply_frame, patterns[1]))
        self.assertEqual(decoder.next_frame(patterns), decoded(waited.reply_frame, patterns[0]))

    def test_the_echo(self) -> None:
        one = GOLDEN[2]
        echo = WholeMessage(UNIT, one.request_pdu)
        patterns = (*patterns_of(one), echo)
        decoder = Decoder()
        for byte in single_bytes(one.request_frame + one.reply_frame):
            decoder.receive(byte)
        self.assertEqual(decoder.next_frame(patterns), decoded(one.request_frame, echo))
        self.assertEqual(decoder.next_frame(patterns), decoded(one.reply_frame, patterns[0]))

    def test_chance_frame_inside_a_long_one(self) -> None:
        """The data of a long reply hold an exception to that very request, and a whole frame of another unit."""
        for inner in (encode_adu(UNIT, b"\x83\x02"), encode_adu(UNIT + 1, b"\x83\x02")):
            values = inner + bytes(100 - len(inner))
            request = encode_adu(UNIT, pdu.ReadHoldingRegistersRequest(0, 50).encode())
            reply = encode_adu(UNIT, bytes((3, 100)) + values)
            for pieces in ([reply], single_bytes(reply), [reply[:40], reply[40:]]):
                self.assertEqual(fed(Decoder(), pieces, (pattern_of(request),)), [reply])

    def test_chance_frame_behind_junk(self) -> None:
        request = encode_adu(UNIT, pdu.ReadHoldingRegistersRequest(0, 50).encode())
        reply = encode_adu(UNIT, bytes((3, 100)) + encode_adu(UNIT, b"\x83\x02") + bytes(95))
        self.assertEqual(fed(Decoder(), single_bytes(b"\xff\x00\xff" + reply), (pattern_of(request),)), [reply])


class UnknownFunctionTests(SynchronousTestCase):
    """They end by a good CRC and silence, and by nothing less."""

    def setUp(self) -> None:
        self.waited = (pattern_of(encode_adu(UNIT, b"\x41")),)

    def test_not_before_silence(self) -> None:
        for decoder, patterns in ((Decoder(), self.waited), (Decoder(), ()), (Decoder(request_length), ())):
            self.assertEqual(fed(decoder, single_bytes(UNKNOWN_FRAME), patterns), [])
            self.assertEqual(silent(decoder, patterns), [UNKNOWN_FRAME])
            self.assertEqual((decoder.junk, len(decoder)), (0, 0))

    def test_silence_without_a_good_crc_ends_nothing(self) -> None:
        for size in range(len(UNKNOWN_FRAME)):
            decoder = Decoder()
            self.assertEqual(fed(decoder, [UNKNOWN_FRAME[:size]], self.waited), [])
            self.assertEqual(silent(decoder, self.waited), [])
            self.assertEqual(fed(decoder, [UNKNOWN_FRAME[size:]], self.waited), [])
            self.assertEqual(silent(decoder, self.waited), [UNKNOWN_FRAME])

    def test_behind_junk_for_him_who_waits_only(self) -> None:
        decoder = Decoder()
        decoder.receive(b"\xff\xff" + UNKNOWN_FRAME)
        self.assertIsNone(decoder.end_of_burst(()))
        self.assertEqual(silent(decoder, self.waited), [UNKNOWN_FRAME])

    def test_diagnostics_of_any_length(self) -> None:
        """A device cannot tell how long the request of sub-function 0 is."""
        frame = encode_adu(UNIT, b"\x08\x00\x00abcdef")
        decoder = Decoder(request_length)
        self.assertEqual(fed(decoder, single_bytes(frame)), [])
        self.assertEqual(silent(decoder), [frame])

    def test_the_hint(self) -> None:
        """The caller knew the length: the frame ends at once."""
        patterns = (pattern_of(encode_adu(UNIT, b"\x41"), len(UNKNOWN_FRAME)),)
        self.assertEqual(fed(Decoder(), [UNKNOWN_FRAME], patterns), [UNKNOWN_FRAME])


class SilenceTests(SynchronousTestCase):
    """A pause ends no frame whose length is known."""

    def test_a_pause_at_every_offset(self) -> None:
        for one in GOLDEN:
            for at in range(1, len(one.reply_frame)):
                decoder, patterns = Decoder(), patterns_of(one)
                self.assertEqual(fed(decoder, [one.reply_frame[:at]], patterns), [])
                self.assertEqual(silent(decoder, patterns), [])
                self.assertEqual(fed(decoder, [one.reply_frame[at:]], patterns), [one.reply_frame], (one.reply, at))

    def test_what_stays_incomplete_lets_those_behind_it_pass(self) -> None:
        request = encode_adu(UNIT, pdu.ReadHoldingRegistersRequest(0, 50).encode())
        begun = bytes((UNIT, 3, 100, 0, 0))
        exception = encode_adu(UNIT, b"\x83\x02")
        decoder, patterns = Decoder(), (pattern_of(request),)
        self.assertEqual(fed(decoder, [begun + exception], patterns), [])
        self.assertEqual(silent(decoder, patterns), [exception])
        self.assertEqual(decoder.junk, len(begun))


class BoundTests(SynchronousTestCase):
    """Floods."""

    def test_memory(self) -> None:
        dice = random.Random(1)
        for patterns in ((), patterns_of(GOLDEN[2]), (pattern_of(encode_adu(UNIT, b"\x41")),)):
            for make in (lambda: b"\x00" * 100, lambda: b"\xff" * 100, lambda: dice.randbytes(100)):
                decoder, received = Decoder(), 0
                for _ in range(300):
                    received += 100
                    fed(decoder, [make()], patterns)
                    self.assertLessEqual(len(decoder), 612)
                self.assertLessEqual(decoder.junk + len(decoder), received)
                decoder.clear()
                self.assertEqual(len(decoder), 0)

    def test_the_reply_behind_a_flood(self) -> None:
        for one in GOLDEN:
            decoder, patterns = Decoder(), patterns_of(one)
            pieces = [b"\x00" * 100] * 50 + [one.reply_frame]
            self.assertEqual(fed(decoder, pieces, patterns), [one.reply_frame])
            self.assertEqual(decoder.junk, 5000)

    def test_what_is_left_of_a_flood_begins_no_burst(self) -> None:
        """The bound happens to cut right before something that looks like a frame of somebody's."""
        foreign = encode_adu(UNIT + 1, b"\x03\x02\x00\x07")
        decoder = Decoder()
        self.assertEqual(fed(decoder, [b"\xff" * 300 + foreign + b"\xff" * (256 - len(foreign)), b"\xff"]), [])

    def test_heads_without_an_end(self) -> None:
        """Each byte could begin the reply."""
        one = GOLDEN[2]
        decoder, patterns = Decoder(), patterns_of(one)
        for _ in range(500):
            fed(decoder, [one.reply_frame[:3]], patterns)
            self.assertLessEqual(len(decoder), 612)
        self.assertEqual(fed(decoder, [one.reply_frame], patterns), [one.reply_frame])


class AnyBytesTests(SynchronousTestCase):
    """Any bytes give a frame or nothing; what is given has a good CRC; no byte is lost count of."""

    PIECES = st.lists(
        st.binary(max_size=30)
        | st.sampled_from([one.reply_frame for one in GOLDEN] + [one.request_frame for one in GOLDEN])
        | st.just(UNKNOWN_FRAME),
        max_size=12,
    )

    def check(self, decoder: Decoder, pieces: list[bytes], patterns: tuple[Pattern, ...]) -> None:
        found = fed(decoder, pieces, patterns) + silent(decoder, patterns)
        for frame in found:
            self.assertTrue(crc_ok(frame) and 4 <= len(frame) <= 256)
        decoder.clear()
        self.assertEqual(decoder.junk + sum(map(len, found)), sum(map(len, pieces)))

    @QUICK
    @given(PIECES, st.sampled_from(GOLDEN))
    def test_replies(self, pieces: list[bytes], one: Golden) -> None:
        self.check(Decoder(), pieces, patterns_of(one))

    @QUICK
    @given(PIECES)
    def test_requests(self, pieces: list[bytes]) -> None:
        self.check(Decoder(request_length), pieces, ())
