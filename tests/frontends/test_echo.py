"""The protocol echo, and the exchange of the original Lumina Server's client stub."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from tests.gateway_case import GatewayCase


class EchoTests(GatewayCase):
    """One client."""

    protocol = "echo"

    def test_chunks(self) -> None:
        """The stub sends a message without an end, and reads what comes."""
        client, wire = self.connect()
        for said in (b"Hello, Lumina", b"\xc3\xa4", b"two\nlines\n"):
            client.dataReceived(said)
            self.assertEqual(wire.take(), b"Echo: " + said)

    def test_drain(self) -> None:
        client, wire = self.connect()
        drained = self.service.factory.drain()
        self.assertTrue(wire.disconnecting)
        client.dataReceived(b"x")
        self.assertEqual(wire.take(), b"")
        client.connectionLost(Failure(ConnectionDone()))
        self.assertIsNone(self.successResultOf(drained))
