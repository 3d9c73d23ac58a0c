"""A session in lines, without a connection; the server's answers may be wrong in every way."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.client.command import CommandSettings, PendingCommand
from lumina_twisted.client.command_sessions import LineSession
from lumina_twisted.client.session import Answered, Failed
from lumina_twisted.errors import FrameError, IllegalDataAddress, OutcomeUnknown, Stopping
from lumina_twisted.framing.rtu import decode_adu, encode_adu

READ = encode_adu(1, bytes.fromhex("0300000002"))
WRITE = encode_adu(1, bytes.fromhex("0600000005"))
COILS = encode_adu(1, bytes.fromhex("0100000003"))


def rtu(text: str) -> str:
    """Unit and PDU with their CRC."""
    body = bytes.fromhex(text)
    return encode_adu(body[0], body[1:]).hex()


class LineSessionTests(SynchronousTestCase):
    """Lines and times in, bytes and events out."""

    def setUp(self) -> None:
        self.session = LineSession("plc:8888")
        self.session.connected(0.0)

    def answered(self, frame: bytes, answer: str) -> Any:
        """The event of the command with that frame, after the server has sent that answer."""
        command = PendingCommand("", "p", *decode_adu(frame), CommandSettings(), 5.0)
        self.session.submit(command, 0.0)
        self.session.receive_data(b"%b:%b\n" % (command.attempt_id, answer.encode()), 1.0)
        event = self.session.next_event()
        self.assertIsNone(self.session.next_event())
        return event

    def test_its_reply(self) -> None:
        for frame, reply in (
            (READ, "01030400010002"), (WRITE, "010600000005"), (COILS, "01010105"),
            (encode_adu(1, bytes.fromhex("4107")), "01410102"),
        ):
            self.assertIsInstance(self.answered(frame, f"{rtu(reply)}:7.0"), Answered)

    def test_what_is_no_reply_to_it(self) -> None:
        """A value that was not requested, or that was damaged on the wire, reaches no caller."""
        for reply in (
            "010304000100020000", rtu("02030400010002"), rtu("0103020001"), rtu("0103060001000200 03"),
            rtu("01040400010002"), "", "01", "0103",
        ):
            event = self.answered(READ, f"{reply}:7.0")
            self.assertIsInstance(event, Failed)
            self.assertIs(type(event.error), FrameError)
            self.assertIn("no reply to this request", str(event.error))
        self.assertIsInstance(self.answered(COILS, f"{rtu('0101020000')}:7.0").error, FrameError)

    def test_what_is_no_proof_of_a_write(self) -> None:
        for reply in ("0106000000050000", rtu("010600000006"), rtu("010600010005"), "", "01"):
            self.assertIs(type(self.answered(WRITE, f"{reply}:7.0").error), OutcomeUnknown)

    def test_an_exception_in_a_frame(self) -> None:
        """Some servers pass the device's frame on, where Lumina sends its code."""
        error = self.answered(READ, f"{rtu('018302')}:7.0").error
        self.assertIs(type(error), IllegalDataAddress)
        self.assertEqual((error.unit, error.function_code), (1, 3))

    def test_a_broadcast_has_none(self) -> None:
        broadcast = encode_adu(0, WRITE[1:-2])
        self.assertIsInstance(self.answered(broadcast, ":7.0"), Answered)

    def test_a_server_that_stops_and_stays(self) -> None:
        self.assertIsNone(self.answered(READ, "ERROR:stopping soon:7.0"))
        self.session.handle_timer(5.0)
        event: Any = self.session.next_event()
        self.assertIs(type(event.error), Stopping)
        self.assertNotIn("no connection", str(event.error))
