"""The less usual functions of simulated devices: files, queues, counters, identification."""

from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.pdu import decode_reply
from lumina_twisted.simulator.device import SimulatedDevice


class FunctionTestCase(SynchronousTestCase):
    """One device."""

    def setUp(self) -> None:
        self.device = SimulatedDevice()

    def asked(self, request: pdu.Request) -> pdu.Reply:
        """The reply."""
        return decode_reply(self.device.answer(request.encode(), 0.0))

    def refused(self, request: pdu.Request, code: int) -> None:
        """It answers with that exception."""
        self.assertEqual(self.asked(request), pdu.ExceptionReply(request.function_code, code))


class FileTests(FunctionTestCase):
    """Functions 20 and 21."""

    def setUp(self) -> None:
        super().setUp()
        self.device.files = {4: [10, 11, 12, 13], 3: [20, 21]}

    def test_read(self) -> None:
        places = [pdu.RecordReference(4, 1, 2), pdu.RecordReference(3, 0, 1)]
        self.assertEqual(self.asked(pdu.ReadFileRecordRequest(places)), pdu.ReadFileRecordReply([(11, 12), (20,)]))

    def test_write(self) -> None:
        records = [pdu.FileRecord(4, 2, (7, 8)), pdu.FileRecord(3, 1, (9,))]
        self.assertEqual(self.asked(pdu.WriteFileRecordRequest(records)), pdu.WriteFileRecordReply(records))
        self.assertEqual(self.device.files, {4: [10, 11, 7, 8], 3: [20, 9]})

    def test_beyond_its_end(self) -> None:
        self.refused(pdu.ReadFileRecordRequest([pdu.RecordReference(4, 3, 2)]), 2)
        self.refused(pdu.WriteFileRecordRequest([pdu.FileRecord(4, 4, (1,))]), 2)

    def test_no_such_file(self) -> None:
        self.refused(pdu.ReadFileRecordRequest([pdu.RecordReference(5, 0, 1)]), 2)

    def test_what_is_refused_is_not_done(self) -> None:
        """Also not the part of it that could be."""
        self.refused(pdu.WriteFileRecordRequest([pdu.FileRecord(4, 0, (1,)), pdu.FileRecord(9, 0, (1,))]), 2)
        self.assertEqual(self.device.files[4], [10, 11, 12, 13])


class QueueTests(FunctionTestCase):
    """Function 24."""

    def test_read(self) -> None:
        """The specification's own example; what was read stays."""
        self.device.fifo_queues = {0x04DE: [0x01B8, 0x1284]}
        for _ in range(2):
            self.assertEqual(self.asked(pdu.ReadFIFOQueueRequest(0x04DE)), pdu.ReadFIFOQueueReply((0x01B8, 0x1284)))

    def test_empty(self) -> None:
        self.device.fifo_queues = {1: []}
        self.assertEqual(self.asked(pdu.ReadFIFOQueueRequest(1)), pdu.ReadFIFOQueueReply(()))

    def test_no_such_queue(self) -> None:
        self.refused(pdu.ReadFIFOQueueRequest(1), 2)

    def test_more_than_a_reply_holds(self) -> None:
        self.device.fifo_queues = {1: [0] * 31, 2: [0] * 32}
        self.assertEqual(self.asked(pdu.ReadFIFOQueueRequest(1)), pdu.ReadFIFOQueueReply([0] * 31))
        self.refused(pdu.ReadFIFOQueueRequest(2), 3)


class CommunicationTests(FunctionTestCase):
    """Functions 8, 11 and 12."""

    def test_successes_are_counted(self) -> None:
        """Exceptions are not, nor are the questions for the count."""
        self.asked(pdu.ReadCoilsRequest(0, 1))
        self.asked(pdu.ReadCoilsRequest(5000, 1))
        self.asked(pdu.WriteSingleCoilRequest(0, True))
        for _ in range(2):
            self.assertEqual(self.asked(pdu.GetCommEventCounterRequest()), pdu.GetCommEventCounterReply(0, 2))

    def test_log(self) -> None:
        """The newest first; the request for it is among them already."""
        self.asked(pdu.ReadCoilsRequest(0, 1))
        self.device.answer(pdu.WriteSingleCoilRequest(0, True).encode(), 0.0, is_broadcast=True)
        self.asked(pdu.ReadCoilsRequest(5000, 1))
        events = bytes((0x80, 0x41, 0x80, 0xC0, 0x40, 0x80))
        self.assertEqual(self.asked(pdu.GetCommEventLogRequest()), pdu.GetCommEventLogReply(0, 2, 4, events))

    def test_log_is_bounded(self) -> None:
        for _ in range(100):
            self.asked(pdu.ReadCoilsRequest(0, 1))
        told = self.asked(pdu.GetCommEventLogRequest())
        assert isinstance(told, pdu.GetCommEventLogReply)
        self.assertEqual((told.message_count, len(told.events)), (101, 64))

    def test_counters(self) -> None:
        self.asked(pdu.ReadCoilsRequest(5000, 1))
        self.device.answer(pdu.WriteSingleCoilRequest(0, True).encode(), 0.0, is_broadcast=True)
        for sub_function, count in ((11, 3), (12, 0), (13, 1), (14, 6), (15, 1), (18, 0)):
            told = self.asked(pdu.DiagnosticsRequest(sub_function, b"\0\0"))
            self.assertEqual(told, pdu.DiagnosticsReply(sub_function, bytes((0, count))))

    def test_clear(self) -> None:
        self.asked(pdu.ReadCoilsRequest(0, 1))
        self.assertEqual(self.asked(pdu.DiagnosticsRequest(10, b"\0\0")), pdu.DiagnosticsReply(10, b"\0\0"))
        self.assertEqual(self.asked(pdu.DiagnosticsRequest(11, b"\0\0")), pdu.DiagnosticsReply(11, b"\0\1"))

    def test_data_where_none_belongs(self) -> None:
        self.refused(pdu.DiagnosticsRequest(11, b"\0\1"), 3)

    def test_no_such_sub_function(self) -> None:
        self.refused(pdu.DiagnosticsRequest(4, b"\0\0"), 1)


class LongIdentificationTests(FunctionTestCase):
    """Function 43/14 with more than a reply holds."""

    OBJECTS: Final = {0: "maker", 1: "M" * 100, 2: "1.0", 4: "name", 0x80: "x" * 150}

    def setUp(self) -> None:
        self.device = SimulatedDevice(self.OBJECTS)

    def told(self, read_code: int, object_id: int) -> pdu.ReadDeviceIdentificationReply:
        """The reply."""
        reply = self.asked(pdu.ReadDeviceIdentificationRequest(read_code, object_id))
        assert isinstance(reply, pdu.ReadDeviceIdentificationReply)
        return reply

    def test_categories(self) -> None:
        self.assertEqual([number for number, _ in self.told(1, 0).objects], [0, 1, 2])
        self.assertEqual([number for number, _ in self.told(2, 0).objects], [0, 1, 2, 4])

    def test_it_is_asked_in_two_pieces(self) -> None:
        first = self.told(3, 0)
        self.assertTrue(first.more_follows)
        second = self.told(3, first.next_object_id)
        self.assertFalse(second.more_follows)
        got = {number: value.decode() for number, value in first.objects + second.objects}
        self.assertEqual(got, self.OBJECTS)

    def test_one(self) -> None:
        self.assertEqual(self.told(4, 0x80).objects, ((0x80, b"x" * 150),))
        self.assertEqual(self.told(4, 0x80).conformity_level, 0x83)

    def test_server_id(self) -> None:
        self.assertEqual(self.asked(pdu.ReportServerIdRequest()), pdu.ReportServerIdReply(b"M" * 100 + b"\xff"))
