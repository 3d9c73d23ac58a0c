"""Simulated devices on odd requests: what the wire lets through is answered, and nothing raises."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.simulator.device import SimulatedDevice
from tests.strategies import QUICK


class DeviceTestCase(SynchronousTestCase):
    """One device."""

    def setUp(self) -> None:
        self.device = SimulatedDevice(("maker", "thing", "2.0"))

    def answered(self, text: str) -> str:
        """The reply to a request, both in hexadecimal digits."""
        return self.device.answer(bytes.fromhex(text), 0.0).hex()


class OddRequestTests(DeviceTestCase):
    """Requests whose length and fields do not agree."""

    def test_broken_off(self) -> None:
        """Exception 03, the specification's word for an implied length that is wrong."""
        for text in ("03", "04000000", "06", "08", "0f0000000801", "10000000010200", "160000", "2b", "2b0e"):
            self.assertEqual(self.answered(text), f"{int(text[:2], 16) | 0x80:02x}03", text)

    def test_too_long(self) -> None:
        self.assertEqual(self.answered("030000000100"), "8303")

    def test_byte_count_that_contradicts_the_quantity(self) -> None:
        """It is refused, and nothing is written."""
        self.assertEqual(self.answered("17 0000 0001 0000 0002 02 0007"), "9703")
        self.assertEqual(self.answered("10 0000 0002 02 0007"), "9003")
        self.assertEqual(self.device.holding_registers[0], 0)

    @QUICK
    @given(st.binary(min_size=1, max_size=253))
    def test_anything_is_answered(self, request: bytes) -> None:
        """A device that raised would take the reactor's time and answer nobody."""
        reply = SimulatedDevice().answer(request, 0.0)
        self.assertEqual(reply[0] & 0x7F, request[0] & 0x7F)
        self.assertLessEqual(len(reply), 253)


class IdentificationTests(DeviceTestCase):
    """Function 43/14 (Modbus Application Protocol V1.1b3, section 6.21)."""

    def test_stream(self) -> None:
        objects = "00056d616b6572" "01057468696e67" "0203322e30"
        for read_code in ("01", "02", "03"):
            self.assertEqual(self.answered(f"2b0e{read_code}00"), f"2b0e{read_code}81000003{objects}")

    def test_it_begins_where_it_is_asked(self) -> None:
        self.assertEqual(self.answered("2b0e0102"), "2b0e0181000001" "0203322e30")

    def test_an_unknown_object_begins_anew(self) -> None:
        self.assertEqual(self.answered("2b0e0109"), self.answered("2b0e0100"))

    def test_one_by_one(self) -> None:
        self.assertEqual(self.answered("2b0e0401"), "2b0e0481000001" "01057468696e67")

    def test_one_that_does_not_exist(self) -> None:
        self.assertEqual(self.answered("2b0e0403"), "ab02")
