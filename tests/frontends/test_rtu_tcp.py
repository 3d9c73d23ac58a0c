"""RTU towards programs, through a socket: one request at a time, and never the reply to another one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lumina_twisted.errors import IllegalDataAddress, OutcomeUnknown, PortClosed, QueueFull, exception_from_code
from lumina_twisted.framing.rtu import encode_adu
from lumina_twisted.frontends.rtu.program import LONGEST_PAUSE, SILENCE
from tests.gateway_case import GatewayCase

READ = encode_adu(1, bytes.fromhex("0300000001"))
OTHER = encode_adu(1, bytes.fromhex("0300640001"))
REPLY = encode_adu(1, bytes.fromhex("0302002A"))
OTHER_REPLY = encode_adu(1, bytes.fromhex("03020063"))
OWN_FUNCTION = encode_adu(3, bytes.fromhex("4101020304"))


class RtuTcpCase(GatewayCase):
    """One client."""

    protocol = "rtu-tcp"

    def start(self, **options: object) -> None:
        super().start(**options)
        self.client = self.connect()
        self.came = b""

    def say(self, data: bytes) -> None:
        self.came += self.client.send(data)

    def heard(self) -> bytes:
        """What came since it was last asked."""
        came, self.came = self.came, b""
        return came + self.client.received()


class RequestTests(RtuTcpCase):
    """Frames in, and what is asked."""

    def test_round_trip(self) -> None:
        self.say(READ)
        (asked,) = self.boiler.asked
        self.assertEqual((asked.unit, asked.pdu, asked.timeout), (1, READ[1:-2], 0.45))
        asked.end(REPLY)
        self.assertEqual(self.heard(), REPLY)

    def test_turns(self) -> None:
        self.start(priority="low", max_age=0.5)
        self.say(READ)
        self.assertEqual((self.boiler.asked[0].priority, self.boiler.asked[0].max_age), ("low", 0.5))

    def test_a_translated_unit(self) -> None:
        """The reply has the unit that the program asked."""
        self.start(routes={"101": "pv@7"})
        self.say(encode_adu(101, READ[1:-2]))
        self.pv.asked[0].end(encode_adu(7, REPLY[1:-2]))
        self.assertEqual(self.heard(), encode_adu(101, REPLY[1:-2]))

    @given(st.integers(1, 7))
    def test_one_piece_at_a_time(self, size: int) -> None:
        self.start()
        for start in range(0, len(READ), size):
            self.assertEqual(self.boiler.asked, [])
            self.say(READ[start : start + size])
            self.clock.advance(SILENCE / 2)
        self.assertEqual(self.boiler.asked[0].pdu, READ[1:-2])

    def test_pauses_inside_a_frame(self) -> None:
        """Shorter than a converter's, they end nothing."""
        self.say(READ[:5])
        self.clock.advance(LONGEST_PAUSE * 0.9)
        self.say(READ[5:])
        self.assertEqual(len(self.boiler.asked), 1)

    def test_a_function_whose_length_nobody_knows(self) -> None:
        """Silence ends it."""
        self.say(OWN_FUNCTION)
        self.assertEqual(self.boiler.asked, [])
        self.clock.advance(SILENCE)
        self.assertEqual((self.boiler.asked[0].unit, self.boiler.asked[0].pdu), (3, OWN_FUNCTION[1:-2]))

    def test_junk_and_then_a_request(self) -> None:
        for junk in (b"\xff\x00\x7f", READ[:-1] + b"\0", READ[:6], OWN_FUNCTION[:-1]):
            self.start()
            self.say(junk)
            self.clock.advance(SILENCE)
            self.clock.advance(LONGEST_PAUSE)
            self.assertEqual(self.boiler.asked, [])
            self.say(READ)
            self.assertEqual(len(self.boiler.asked), 1)
        self.assertIn("are no request", self.logged())

    def test_a_flood_is_bounded(self) -> None:
        for _ in range(200):
            self.say(bytes(range(256)) * 16)
        self.assertLess(len(self.client.protocol.program._decoder), 10_000)
        self.assertLess(len(self.clock.getDelayedCalls()), 3)


class LatestTests(RtuTcpCase):
    """A program is sent the reply to its latest request, or nothing."""

    def test_a_new_request_withdraws_the_one_before(self) -> None:
        self.say(READ)
        self.say(OTHER)
        first, second = self.boiler.asked
        self.assertTrue(first.cancelled)
        second.end(OTHER_REPLY)
        self.assertEqual(self.heard(), OTHER_REPLY)

    def test_both_in_one_segment(self) -> None:
        self.say(READ + OTHER)
        self.assertTrue(self.boiler.asked[0].cancelled)
        self.boiler.asked[1].end(OTHER_REPLY)
        self.assertEqual(self.heard(), OTHER_REPLY)

    def test_a_reply_while_the_next_request_begins(self) -> None:
        """The program would take it for the reply to what it is asking."""
        self.say(READ)
        self.say(OTHER[:3])
        self.boiler.asked[0].end(REPLY)
        self.assertEqual(self.heard(), b"")
        self.say(OTHER[3:])
        self.boiler.asked[1].end(OTHER_REPLY)
        self.assertEqual(self.heard(), OTHER_REPLY)

    def test_a_reply_while_the_next_request_waits_to_be_read(self) -> None:
        self.say(READ)
        self.patch(self.client.protocol.program, "_begins_anew", lambda: True)
        self.boiler.asked[0].end(REPLY)
        self.assertEqual(self.heard(), b"")
        self.assertEqual(self.client.protocol.program.withheld, 1)


class FailureTests(RtuTcpCase):
    """What a program hears when there is no normal reply."""

    def test_exceptions_of_the_device(self) -> None:
        for code in (1, 2, 4, 6, 0x0A, 0x0B):
            self.say(READ)
            frame = encode_adu(1, bytes((0x83, code)))
            self.boiler.asked[-1].end(exception_from_code(code, unit=1, function_code=3, frame=frame))
            self.assertEqual(self.heard(), frame)

    def test_silence_as_on_a_wire(self) -> None:
        for error in (None, PortClosed("x"), QueueFull("x"), OutcomeUnknown("x")):
            self.say(READ)
            self.boiler.asked[-1].end(error)
            self.assertEqual(self.heard(), b"")
        self.say(encode_adu(255, READ[1:-2]))  # has no route
        self.assertEqual(self.heard(), b"")

    def test_or_the_gateways_own_exceptions(self) -> None:
        self.start(gateway_exceptions=True)
        for error, code in ((None, 0x0B), (PortClosed("x"), 0x0A), (QueueFull("x"), 6), (OutcomeUnknown("x"), 0x0B)):
            self.say(READ)
            self.boiler.asked[-1].end(error)
            self.assertEqual(self.heard(), encode_adu(1, bytes((0x83, code))))

    def test_readonly(self) -> None:
        self.start(readonly=True)
        self.say(encode_adu(1, bytes.fromhex("060000002A")))
        self.assertEqual(self.heard(), encode_adu(1, b"\x86\x01"))

    def test_a_reply_longer_than_a_frame(self) -> None:
        self.say(encode_adu(1, bytes.fromhex("030000007E")))
        self.assertEqual(self.heard(), encode_adu(1, b"\x83\x03"))

    def test_a_fault_of_ours(self) -> None:
        self.say(READ)
        self.boiler.asked[0].end(ZeroDivisionError())
        self.assertEqual(self.heard(), b"")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class ConnectionTests(RtuTcpCase):
    """Clients leave, and the service stops."""

    def test_a_client_that_leaves(self) -> None:
        self.say(READ[:4])
        self.client.leave()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.start()
        self.say(READ)
        self.client.leave()
        self.assertTrue(self.boiler.asked[0].cancelled)
        self.assertEqual(self.heard(), b"")

    def test_half_closed(self) -> None:
        self.say(READ)
        self.client.protocol.readConnectionLost()
        self.boiler.asked[0].end(REPLY)
        self.assertEqual(self.heard(), REPLY)
        self.assertTrue(self.client.is_closed)

    def test_drain(self) -> None:
        self.say(READ)
        drained = self.listener.drain()
        self.say(OTHER)
        self.boiler.asked[0].end(IllegalDataAddress(unit=1, function_code=3, frame=b"\1\x83\2"))
        self.assertEqual(self.heard(), encode_adu(1, b"\x83\x02"))
        self.assertEqual(len(self.boiler.asked), 1)
        self.client.leave()
        self.assertIsNone(self.successResultOf(drained))
