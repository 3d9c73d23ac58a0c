"""The protocol echo, and the exchange of the original Lumina Server's client stub."""

from __future__ import annotations

from tests.gateway_case import GatewayCase


class EchoTests(GatewayCase):
    """One client."""

    protocol = "echo"

    def test_chunks(self) -> None:
        """The stub sends a message without an end, and reads what comes."""
        client = self.connect()
        for said in (b"Hello, Lumina", b"\xc3\xa4", b"two\nlines\n"):
            self.assertEqual(client.send(said), b"Echo: " + said)

    def test_drain(self) -> None:
        client = self.connect()
        drained = self.listener.drain()
        self.assertTrue(client.is_closed)
        self.assertEqual(client.send(b"x"), b"")
        client.leave()
        self.assertIsNone(self.successResultOf(drained))
