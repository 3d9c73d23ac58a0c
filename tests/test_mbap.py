"""The Modbus TCP frame: cut anywhere, and refused where it cannot be one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.errors import FrameError, RequestError
from lumina_twisted.framing.mbap import MAX_MBAP_ADU, Adu, MbapDecoder, encode_adu

ADUS = st.lists(
    st.builds(Adu, st.integers(0, 65535), st.integers(0, 255), st.binary(min_size=1, max_size=253)), max_size=5
)


class Frames(SynchronousTestCase):
    """Encoding and decoding."""

    def test_the_guides_example(self) -> None:
        """Read one register: transaction 0x1501, unit 0xFF, FC 03, address 4 (Implementation Guide, section 3.1.3)."""
        frame = bytes.fromhex("150100000006FF0300040001")
        self.assertEqual(encode_adu(0x1501, 255, bytes.fromhex("0300040001")), frame)
        self.assertEqual(list(MbapDecoder().receive(frame)), [Adu(0x1501, 255, bytes.fromhex("0300040001"))])

    @given(ADUS, st.integers(1, 300))
    def test_cut_anywhere(self, adus: list[Adu], piece: int) -> None:
        """Whatever the segments, the frames are the same."""
        stream = b"".join(encode_adu(*adu) for adu in adus)
        decoder = MbapDecoder()
        found = [
            adu for start in range(0, len(stream), piece) for adu in decoder.receive(stream[start : start + piece])
        ]
        self.assertEqual(found, adus)
        self.assertEqual(len(decoder), 0)

    def test_the_longest(self) -> None:
        """253 bytes of PDU make 260."""
        self.assertEqual(len(encode_adu(0, 1, bytes(253))), MAX_MBAP_ADU)

    def test_what_cannot_be_encoded(self) -> None:
        """Units beyond a byte, no PDU, a PDU too long."""
        for unit, pdu in ((256, b"\3"), (-1, b"\3"), (1, b""), (1, bytes(254))):
            self.assertRaises(RequestError, encode_adu, 1, unit, pdu)

    def test_no_header(self) -> None:
        """Another protocol, and lengths that no frame has, are refused as soon as they are seen."""
        for header, said in (
            ("000100010006", "protocol identifier is 1,"), ("000100000000", "length field says 0,"),
            ("000100000001", "says 1,"), ("0001000000FF", "says 255,"), ("00010000FFFF", "says 65535,"),
        ):
            error = self.assertRaises(FrameError, list, MbapDecoder().receive(bytes.fromhex(header)))
            self.assertIn(said, str(error))

    def test_frames_before_a_bad_one(self) -> None:
        """What came whole before it counts."""
        found = MbapDecoder().receive(encode_adu(7, 1, b"\x07") + b"GET / HTTP/1.0\r\n")
        self.assertEqual(next(found), Adu(7, 1, b"\x07"))
        self.assertRaises(FrameError, next, found)
