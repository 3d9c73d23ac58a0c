"""Clients that flood, on real sockets: the others have their turn in between."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from lumina_twisted.config.listeners import front_ends
from lumina_twisted.framing.mbap import encode_adu as mbap
from lumina_twisted.framing.rtu import encode_adu as rtu
from lumina_twisted.testing import MemoryPort, MemoryPorts, memory_context

READ = bytes.fromhex("0300000001")


class Floods(TestCase):
    """A listener before a port in memory."""

    timeout = 20

    async def listen(self, protocol: str) -> None:
        self.port = MemoryPort()
        front_end = front_ends()[protocol]
        context = memory_context(MemoryPorts(self.port), reactor, protocol)
        self.factory = front_end.build(front_end.options(), context)
        listening = reactor.listenTCP(0, self.factory, interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        self.tcp_port = listening.getHost().port

    async def connect(self) -> socket.socket:
        clients = self.factory.counts()["clients"]
        one = socket.create_connection(("127.0.0.1", self.tcp_port))
        await self.until(lambda: self.factory.counts()["clients"] > clients)
        return one

    async def until(self, true: Callable[[], object]) -> None:
        """Lets the reactor work until something holds; trial's own time limit ends what never does."""
        while not true():
            await deferLater(reactor, 0.001)

    async def asked_before_the_other(self, flood: bytes, single: bytes) -> int:
        """How many requests of a flood are asked before the single one of another client, which came last."""
        greedy, modest = await self.connect(), await self.connect()
        greedy.sendall(flood)
        modest.sendall(single)
        await self.until(lambda: any(asked.unit == 2 for asked in self.port.asked))
        before = [asked.unit for asked in self.port.asked].index(2)
        for one in (greedy, modest):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # not the half-close of nc
            one.close()
        await self.until(lambda: not self.factory.counts()["clients"])
        return before

    async def test_modbus_tcp(self) -> None:
        await self.listen("modbus-tcp")
        flood = b"".join(mbap(number, 1, READ) for number in range(3000))
        before = await self.asked_before_the_other(flood, mbap(1, 2, READ))
        self.assertLess(before, 500)

    async def test_rtu_over_tcp(self) -> None:
        await self.listen("rtu-tcp")
        before = await self.asked_before_the_other(3000 * rtu(1, READ), rtu(2, READ))
        self.assertLess(before, 500)
