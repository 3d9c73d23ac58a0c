"""How a protocol is tested: with the doubles that Lumina ships, no socket and no serial port."""

from lumina_values import ValuesFrontEnd
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.modbus import pdu
from lumina_twisted.testing import MemoryListener, MemoryPort, ScriptedDevice

DEVICE = {pdu.ReadHoldingRegistersRequest(100, 1): pdu.ReadHoldingRegistersReply([42])}


class ValuesTests(SynchronousTestCase):
    def setUp(self):
        self.port = MemoryPort("boiler", devices={3: ScriptedDevice(DEVICE)})
        self.listener = MemoryListener(ValuesFrontEnd(), self.port)
        self.client = self.listener.connect()

    def test_value(self):
        self.assertEqual(self.client.send(b"3 100\n"), b"42\n")

    def test_what_the_device_refuses(self):
        self.assertIn(b"error: unit 3 refused function 3", self.client.send(b"3 101\n"))

    def test_what_is_no_request(self):
        for line in (b"hello\n", b"3\n", b"3 70000\n"):
            self.assertIn(b"error: expected UNIT ADDRESS", self.client.send(line))

    def test_a_reader_that_leaves(self):
        self.client.send(b"9 100\n")
        self.client.leave()
        self.assertTrue(self.port.asked[0].cancelled)

    def test_the_stop_waits_for_what_was_asked(self):
        self.client.send(b"9 100\n")
        drained = self.listener.drain()
        self.assertFalse(self.client.is_closed)
        self.port.waiting[0].end(pdu.ReadHoldingRegistersReply([7]))
        self.assertEqual(self.client.received(), b"7\n")
        self.assertTrue(self.client.is_closed)
        self.client.leave()
        self.assertIsNone(self.successResultOf(drained))
