"""Numbered replies: framed by their function where the header is wrong, found again after anything, cut anywhere."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.errors import FrameError
from lumina_twisted.framing import Decoded, Rejected
from lumina_twisted.framing.mbap import encode_adu as mbap
from lumina_twisted.framing.numbered import MOST_UNANSWERED, MbapFraming, Numbers

READ, REPLY = bytes.fromhex("0300000001"), bytes.fromhex("0302AAAA")
OTHER, OTHERS_REPLY = bytes.fromhex("0400050002"), bytes.fromhex("0404BBBBCCCC")
WRITE = bytes.fromhex("060000002A")
EXCHANGES = {
    "identification": ("2B0E0100", "2B0E010100000100024142"),
    "server": ("11", "1103010203"),
    "log": ("0C", "0C080000000100020304"),
    "queue": ("18000A", "1800060002000A000B"),
    "data returned": ("080000A55A1234", "080000A55A1234"),
    "unknown": ("640102", "64030405"),
    "file": ("140706000100000001", "14040306AABB"),
}


def headed(number: int, length: int, pdu: bytes, unit: int = 1) -> bytes:
    """A frame whose header says any length."""
    return number.to_bytes(2, "big") + b"\0\0" + length.to_bytes(2, "big") + bytes((unit,)) + pdu


class Case(SynchronousTestCase):
    """A stream, and what it gave."""

    def setUp(self) -> None:
        self.framing = MbapFraming(Numbers(first=4000))
        self.odd: list[str] = []
        self.framing.on_odd = self.odd.append

    def ask(self, pdu: bytes = READ, unit: int = 1) -> int:
        """The number that it got."""
        return int.from_bytes(self.framing.encode(unit, pdu)[:2], "big")

    def hear(self, data: bytes, size: int = 512) -> list[Decoded | Rejected]:
        """In pieces of ``size``."""
        return [one for at in range(0, len(data), size) for one in self.take(data[at : at + size])]

    def take(self, data: bytes) -> Iterator[Decoded | Rejected]:
        """What one piece completes."""
        self.framing.receive(data)
        while (found := self.framing.next_frame(())) is not None:
            yield found

    def kinds(self, data: bytes, size: int = 512) -> list[str]:
        return ["reply" if isinstance(one, Decoded) else one.kind for one in self.hear(data, size)]

    def assert_replies(self, found: list[Decoded | Rejected], *expected: tuple[int, bytes]) -> None:
        """Nothing but these, each with its unit and PDU."""
        self.assertEqual([one[:2] for one in found], list(expected))


class Framing(Case):
    """Where a frame ends."""

    @given(st.integers(2, 65535), st.integers(1, 20))
    def test_an_exception_has_two_bytes_whatever_its_header_says(self, length: int, size: int) -> None:
        """A3, and the next reply is found."""
        self.setUp()
        frames = headed(self.ask(), length, b"\x83\x03")
        self.assert_replies(self.hear(frames, size), (1, b"\x83\x03"))
        number = self.ask(OTHER)
        self.assert_replies(self.hear(mbap(number, 1, OTHERS_REPLY), size), (1, OTHERS_REPLY))

    @given(st.sampled_from([2, 3, 4, 6, 7, 9, 100, 254, 1, 0, 255, 300, 65535]), st.sampled_from([8, 9, 12, 512]))
    def test_a_reply_is_framed_by_its_byte_count(self, length: int, size: int) -> None:
        """A4: one too great, one too small, and any other; the reply after it comes in the same segment."""
        self.setUp()
        heard = self.hear(headed(self.ask(), length, REPLY), size)
        self.assert_replies(heard, (1, REPLY))
        self.assertEqual(self.odd, [f"its length field says {length} where the reply has 5"] * (length != 5))
        number = self.ask(OTHER)
        self.assertEqual(self.kinds(headed(number, length, OTHERS_REPLY), size), ["reply"])

    def test_padding_that_the_header_counts(self) -> None:
        """A4 turned round: the bytes beyond the reply do come, with it, later, or just before the next one."""
        for pieces in (1, 9, 12, 13, 14, 512):
            self.setUp()
            self.assertEqual(self.kinds(headed(self.ask(), 8, REPLY + b"\0\0\0"), pieces), ["reply"], pieces)
            self.assertEqual(self.kinds(mbap(self.ask(), 1, REPLY), pieces), ["reply"], pieces)
        self.setUp()
        self.hear(headed(self.ask(), 8, REPLY))
        self.assertEqual(self.kinds(b"\0\0\0" + mbap(self.ask(), 1, REPLY)), ["reply"])

    def test_functions_that_tell_their_own_length(self) -> None:
        """They come as they are, in any pieces, also with a header that is wrong; 64 hex has none but its header's."""
        for name, (asked, reply) in EXCHANGES.items():
            request, pdu = bytes.fromhex(asked), bytes.fromhex(reply)
            for size in (1, 7, 8, 9, 512):
                for wrong in (0, 1, -1) if name != "unknown" else (0,):
                    self.setUp()
                    heard = self.hear(headed(self.ask(request), len(pdu) + 1 + wrong, pdu), size)
                    self.assert_replies(heard, (1, pdu))

    def test_an_unfinished_frame_ends_with_its_request(self) -> None:
        """It does not eat the next reply, wherever it was cut."""
        for cut in range(1, 11):
            for size in (1, 5, 512):
                self.setUp()
                late = mbap(self.ask(), 1, REPLY)[:cut]
                self.assertEqual(self.hear(late, size), [])
                number = self.ask()
                heard = self.hear(mbap(number, 1, b"\x03\x02\xbb\xbb"), size)
                self.assert_replies(heard, (1, b"\x03\x02\xbb\xbb"))

    def test_a_reply_cut_short_is_not_completed_by_another_frame(self) -> None:
        """While its request is under way: by the start of a late one, in a segment of its own or in the same one."""
        for cut in (8, 9, 10):
            for together in (False, True):
                self.setUp()
                late, number = self.ask(unit=2), self.ask()
                short, whole = mbap(number, 1, REPLY)[:cut], mbap(late, 2, REPLY)
                heard = self.hear(short + whole) if together else [*self.hear(short), *self.hear(whole)]
                self.assertNotIn(1, [one.unit for one in heard if isinstance(one, Decoded)], (cut, together))
                self.assertEqual(self.kinds(mbap(self.ask(), 1, REPLY)), ["reply"], (cut, together))

    def test_a_reply_in_two_segments(self) -> None:
        """Whatever the first registers of the rest are: a length, zeros, the number of the request itself."""
        for registers in ("0000000400010002", "0000000000000000", "0000000200000000", "000B000000060102"):
            for at in range(1, 16):
                self.setUp()
                whole = mbap(self.ask(bytes.fromhex("0300000004")), 1, b"\x03\x08" + bytes.fromhex(registers))
                heard = [*self.hear(whole[:at]), *self.hear(whole[at:])]
                self.assertEqual([type(one) for one in heard], [Decoded], (registers, at))

    def test_a_frame_that_goes_on_after_the_next_request(self) -> None:
        """Its rest is no reply to anything, and nor is it put together with the next one."""
        whole = mbap(self.ask(), 1, REPLY)
        self.hear(whole[:8])
        number = self.ask(OTHER, unit=2)
        heard = self.hear(whole[8:] + mbap(number, 2, OTHERS_REPLY))
        self.assert_replies(heard, (2, OTHERS_REPLY))

    def test_what_follows_in_the_same_segment_counts(self) -> None:
        """Also when the first of the two makes the bus send its next request at once."""
        first, second = self.ask(unit=1), self.ask(unit=2)
        heard = []
        for one in self.take(mbap(first, 1, REPLY) + mbap(second, 2, REPLY)):
            heard.append(one[:2])
            if len(heard) == 1:
                self.ask(unit=3)
        self.assertEqual(heard, [(1, REPLY), (2, REPLY)])


class Odd(Case):
    """Frames that cost their own request only."""

    def test_a_header_and_nothing_else(self) -> None:
        """A5: told at once; the next reply is heard."""
        for frame in ("0001 09", "0000", "0001 01"):
            self.setUp()
            number = self.ask()
            head = number.to_bytes(2, "big") + b"\0\0" + bytes.fromhex(frame)
            self.assertEqual([(one.kind, one.what) for one in self.hear(head)],
                             [("spoiled", "its reply is a header and nothing else")])
            self.assertEqual(self.kinds(mbap(self.ask(), 1, REPLY)), ["reply"])

    def test_another_function(self) -> None:
        self.assertEqual(self.hear(mbap(self.ask(), 1, b"\x04\x02\0\1")),
                         [Rejected("spoiled", "its reply is one of function 4")])
        self.assertEqual(self.kinds(mbap(self.ask(), 1, REPLY)), ["reply"])

    def test_another_form(self) -> None:
        """Two registers where one was asked, a byte count in registers, a write's confirmation of another value."""
        for asked, pdu in ((READ, "0304AAAABBBB"), (READ, "0301AAAA"), (WRITE, "060000002B"), (READ, "03FFAAAA")):
            self.setUp()
            (heard,) = self.hear(mbap(self.ask(asked), 1, bytes.fromhex(pdu)))
            assert isinstance(heard, Rejected), pdu
            self.assertEqual(heard.kind, "spoiled")
            self.assertIn("another form than what was asked", heard.what)
            self.assertEqual(self.kinds(mbap(self.ask(), 1, REPLY)), ["reply"], pdu)

    def test_a_reply_to_nothing_asked_here(self) -> None:
        """Whole, in any length, header only: it is dropped, and the stream goes on."""
        for late in (mbap(7, 9, REPLY), mbap(7, 9, bytes(253)), headed(7, 1, b""), headed(7, 2, b"\x83")):
            self.setUp()
            number = self.ask()
            self.assertEqual(self.kinds(late + mbap(number, 1, REPLY)), ["late", "reply"])

    def test_no_modbus_tcp(self) -> None:
        """Another protocol, or a length without an end: the stream is over."""
        for junk in (b"HTTP/1.1 400 Bad", bytes.fromhex("00070000FFFF01"), bytes.fromhex("000700010005")):
            self.setUp()
            self.ask()
            self.assertRaises(FrameError, self.hear, junk)

    def test_junk_before_the_reply_in_one_segment(self) -> None:
        number = self.ask()
        self.assertEqual(self.kinds(b"ready\r\n" + mbap(number, 1, REPLY)), ["reply"])

    @given(st.lists(st.binary(max_size=30), max_size=6), st.integers(1, 40))
    def test_never_a_value_of_nobodys(self, junk: list[bytes], size: int) -> None:
        """Whatever comes, a reply is one that carries an open number."""
        self.setUp()
        self.ask()
        try:
            for one in junk:
                self.assertNotIn("reply", self.kinds(one, size))
                self.ask()
        except FrameError:
            return

    def test_it_is_bounded(self) -> None:
        """In doubt, and with nobody who waits, bytes are not kept."""
        self.hear(headed(self.ask(), 9, REPLY))
        for _ in range(100):
            self.hear(bytes(1000))
        self.assertLess(len(self.framing._buffer), 20)
        for unit in range(200):
            self.ask(unit=unit)
        self.assertLess(len(self.framing._asked) + len(self.framing._open), 300)


class Numbering(Case):
    """Which number a request has."""

    def test_numbers_go_on_over_connections(self) -> None:
        """A1: what a gateway kept for an earlier connection never has the number of an open request."""
        old = self.ask()
        self.framing.reset()
        new = self.ask()
        self.assertNotEqual(old, new)
        self.assertEqual(self.kinds(mbap(old, 1, REPLY) + mbap(new, 1, REPLY)), ["late", "reply"])

    def test_unanswered_ones_come_last(self) -> None:
        """A number without a reply is not given again while any other is free; 0 never."""
        numbers = Numbers(first=0)
        doubtful = [numbers.next() for _ in range(50)]
        given = set()
        for _ in range(70_000):
            number = numbers.next()
            numbers.answered(number)
            given.add(number)
        self.assertEqual(given & {0, *doubtful}, set())
        self.assertEqual(len(given), 65_535 - 50)

    def test_they_do_not_run_out(self) -> None:
        """None is ever answered: the oldest are given again."""
        numbers = Numbers(first=0)
        self.assertEqual(len({numbers.next() for _ in range(MOST_UNANSWERED)}), MOST_UNANSWERED)
        for _ in range(70_000):
            numbers.next()
        self.assertEqual(len(numbers._unanswered), MOST_UNANSWERED)

    def test_they_begin_anywhere(self) -> None:
        self.assertGreater(len({Numbers().next() for _ in range(20)}), 10)

    def test_a_late_reply_to_the_same_question(self) -> None:
        """It is not the newer one's; one to another unit may still answer its own."""
        first, other, second = self.ask(), self.ask(unit=2), self.ask()
        self.assertEqual(self.kinds(mbap(first, 1, REPLY) + mbap(other, 2, REPLY) + mbap(second, 1, REPLY)),
                         ["late", "reply", "reply"])
        self.assertEqual(self.kinds(mbap(second, 1, REPLY)), ["late"])

    def test_replies_with_another_number(self) -> None:
        """A12: never a value, and what came is told: one ahead, two bytes swapped, always 0."""
        for odd, told in ((lambda n: n + 1, "a reply with transaction identifier 4004 came where 4003 was asked"),
                          (lambda n: n >> 8 | (n & 255) << 8, "where 4003 was asked, its two bytes are swapped"),
                          (lambda n: 0, "identifier 0 came where 4003 was asked; zero_ids = true takes it")):
            self.setUp()
            (heard,) = self.hear(mbap(odd(self.ask()), 1, REPLY))
            assert isinstance(heard, Rejected)
            self.assertEqual(heard.kind, "late")
            self.assertIn(told, heard.what)
            for _ in range(1000):  # nor do they hit the next one
                before = self.ask()
                self.ask()
                self.assertEqual(self.kinds(mbap(odd(before) & 0xFFFF, 1, REPLY)), ["late"])

    def test_number_0_by_option(self) -> None:
        """A12: it answers the only request under way, and nothing once one stayed without a reply."""
        self.framing = MbapFraming(takes_zero=True)
        for _ in range(3):
            self.ask()
            self.assertEqual(self.kinds(mbap(0, 1, REPLY)), ["reply"])
        self.assertEqual(self.kinds(mbap(0, 1, REPLY)), ["late"])
        self.ask()
        self.ask(OTHER)
        self.assertEqual(self.kinds(mbap(0, 1, OTHERS_REPLY)), ["late"])
