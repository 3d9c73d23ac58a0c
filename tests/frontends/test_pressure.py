"""Clients that send more than a port can do at once: they are read more slowly, and every request has its answer."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lumina_twisted.bus.admission import OWN_SHARE
from lumina_twisted.bus.queue import HELD_FOR, Precedence
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.config.listeners import front_ends
from lumina_twisted.framing.crc import append_crc
from lumina_twisted.framing.mbap import Adu, MbapDecoder, encode_adu
from lumina_twisted.framing.rtu import encode_adu as rtu
from lumina_twisted.frontends import pacing
from lumina_twisted.frontends.pacing import LOOK_EVERY
from lumina_twisted.testing import MemoryPort, MemoryPorts, memory_context
from tests.bus.world import World, caller_of, read
from tests.gateway_case import GatewayCase
from tests.line_listener import Listener

READ = bytes.fromhex("0300000001")
REPLY = bytes.fromhex("0302002A")


class Held(GatewayCase):
    """Modbus TCP before a port that takes two requests of a client (row 7 of what is to build)."""

    def start(self, **options: object) -> None:
        super().start(**options)
        self.boiler.most_per_client = 2
        self.client = self.connect()

    @property
    def is_paused(self) -> bool:
        return bool(self.client.protocol.transport.producerState == "paused")

    def say(self, *numbers: int) -> None:
        self.client.send(b"".join(encode_adu(number, 1, READ) for number in numbers))

    def answered(self) -> list[int]:
        return [adu.transaction_id for adu in MbapDecoder().receive(self.client.received())]

    def test_the_rest_waits_and_every_one_is_answered(self) -> None:
        self.say(*range(80))
        self.assertEqual((len(self.boiler.asked), self.is_paused), (2, True))
        answered = []
        for asked in self.boiler.asked:  # it grows
            asked.end(rtu(1, REPLY))
            answered += self.answered()
            self.assertLessEqual(len(self.boiler.waiting), 2)
        self.assertEqual((answered, self.is_paused), (list(range(80)), False))

    def test_a_stop_tells_what_waits(self) -> None:
        self.say(*range(5))
        drained: Deferred[None] = self.listener.drain()
        self.assertEqual(self.answered(), [2, 3, 4])
        for asked in self.boiler.asked:
            asked.end(rtu(1, REPLY))
        self.assertEqual(self.answered(), [0, 1])
        self.client.leave()
        self.successResultOf(drained)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_who_leaves_takes_back_all(self) -> None:
        self.say(*range(5))
        self.client.leave()
        self.assertEqual([asked.cancelled for asked in self.boiler.asked], [True, True])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_half_closed(self) -> None:
        """What it has sent is still asked, and then the connection ends."""
        self.say(*range(5))
        self.client.protocol.readConnectionLost()
        answered = []
        for asked in self.boiler.asked:  # it grows
            self.assertFalse(self.client.is_closed)
            asked.end(rtu(1, REPLY))
            answered += self.answered()
        self.assertEqual((answered, self.client.is_closed), (list(range(5)), True))

    def test_it_is_not_idle(self) -> None:
        self.start(idle_timeout=10.0)
        self.say(*range(5))
        for _ in range(30):
            self.clock.advance(1)
        self.assertFalse(self.client.is_closed)

    def test_another_port_is_asked_when_its_turn_comes(self) -> None:
        """Requests of one connection are asked in their order, whatever port they are for."""
        self.start(routes={"1-9": "boiler", "10-19": "pv"})
        self.client.send(b"".join(encode_adu(unit, unit, READ) for unit in (1, 1, 1, 11)))
        self.assertEqual((len(self.boiler.asked), len(self.pv.asked)), (2, 0))
        self.boiler.asked[0].end(rtu(1, REPLY))
        self.answered()
        self.assertEqual((len(self.boiler.asked), len(self.pv.asked)), (3, 1))

    def test_hundreds_that_end_at_once(self) -> None:
        """Each goes on in a turn of its own: the stack does not grow."""
        clients = [self.connect() for _ in range(500)]
        for client in clients:
            client.send(b"".join(encode_adu(number, 1, READ) for number in range(4)))
        for asked in list(self.boiler.waiting):
            asked.end(rtu(1, REPLY))
        while len(self.listener.factory.pacer):
            self.clock.advance(0)
        self.assertEqual(len(self.boiler.asked), 2000)


class HeldLines(SynchronousTestCase):
    """The same of lines."""

    def test_order_and_words_between(self) -> None:
        listener = Listener()
        listener.port.most_per_client = 1
        line, transport = listener.connect()
        frame = append_crc(bytes.fromhex("010300000001")).hex()
        line.dataReceived(f"a:x::9600:{frame}:7\nb:x::9600:{frame}:7\nnonsense\n".encode())
        self.assertEqual((len(listener.port.asked), transport.writes, transport.producerState), (1, [], "paused"))
        listener.port.asked[0].end(rtu(1, REPLY))
        listener.clock.advance(0)
        self.assertEqual([one.split(b":")[0] for one in transport.writes], [b"a", b""])  # nonsense is answered at once
        listener.port.asked[1].end(rtu(1, REPLY))
        self.assertEqual([one.split(b":")[0] for one in transport.writes], [b"a", b"", b"b"])
        self.assertEqual(transport.producerState, "producing")


class Shares(SynchronousTestCase):
    """What one client may have on a bus, and who goes first."""

    def submit(self, world: World, count: int, client: object) -> None:
        for address in range(count):
            world.submit(read(1, address, 10), client)

    def test_a_hundredth_of_its_time(self) -> None:
        """At 9600 baud a read of ten registers takes 47 ms: one may wait behind the one on the wire."""
        world = World(BusSettings(timeout=0.1, echo="off", share=False))
        self.assertFalse(world.bus.is_full_for(caller_of("a"), 5.0, world.now))
        self.submit(world, 2, "a")
        self.assertTrue(world.bus.is_full_for(caller_of("a"), 4.5, world.now))
        self.assertFalse(world.bus.is_full_for(caller_of("a"), 4.5 / OWN_SHARE, world.now))
        self.assertFalse(world.bus.is_full_for(caller_of("b"), 4.5, world.now))

    def test_a_full_queue_has_a_place_for_who_has_none(self) -> None:
        world = World(BusSettings(timeout=0.1, echo="off", share=False, queue=10, queue_per_client=10))
        for client in range(3):
            self.submit(world, 5, client)
        self.assertEqual(world.bus.waiting, 10)
        self.assertTrue(world.bus.is_full_for(caller_of(0), 1e6, world.now))
        honest = world.submit(read(1, 0), "honest")
        self.assertFalse(honest.done)

    def test_a_single_request_goes_before_those_who_pipeline(self) -> None:
        """At most every second turn."""
        world = World(BusSettings(timeout=0.1, echo="off", share=False))
        for client in range(12):
            for address in range(3):
                world.submit(read(10 + client, address), client)
        for unit in (2, 3):
            world.submit(read(unit, 0), f"honest {unit}")
        for _ in range(12):
            world.reply()
            world.tick()
        units = [one.frame[0] for one in world.sent][1:]
        self.assertEqual((units.index(2), units.index(3)), (0, 2))

    def test_the_ring_is_not_starved(self) -> None:
        """Every second turn is its own; and where more single requests wait, all have equal shares."""
        turns = Precedence()
        took = []
        for _ in range(6):
            took.append(turns.go_first(1, 12))
            turns.note_turn(took[-1])
        self.assertEqual(took, [True, False] * 3)
        took = []
        for _ in range(10):
            took.append(turns.go_first(8, 2))
            turns.note_turn(took[-1])
        self.assertEqual(took, [*[True] * 4, False] * 2)

    def test_who_is_held_back_is_not_single(self) -> None:
        turns = Precedence()
        turns.held("a", 0.0)
        self.assertFalse(turns.is_single("a", HELD_FOR / 2))
        self.assertTrue(turns.is_single("b", HELD_FOR / 2))
        self.assertTrue(turns.is_single("a", HELD_FOR))


class Pacing(SynchronousTestCase):
    """The reactor's time."""

    class Client:
        def __init__(self, served: list[Pacing.Client], count: int) -> None:
            self.served, self.left = served, count

        def step(self) -> bool:
            self.served.append(self)
            self.left -= 1
            return self.left > 0

    def test_one_client_has_a_slice_and_then_its_turn(self) -> None:
        listener = Listener()
        clock = listener.clock
        pacer = pacing.Pacer(clock, clock.seconds)
        served: list[Pacing.Client] = []
        greedy, modest = self.Client(served, 1000), self.Client(served, 1)
        pacer.serve(greedy)
        self.assertEqual(len(served), pacing.MOST_AT_ONCE)
        pacer.serve(modest)
        self.assertEqual(len(served), pacing.MOST_AT_ONCE)  # who waits is before it
        clock.advance(0)
        self.assertLessEqual(served.index(modest), pacing.MOST_AT_ONCE + 1)
        while len(pacer):
            clock.advance(0)
        self.assertEqual((len(served), clock.getDelayedCalls()), (1001, []))

    def test_time_counts(self) -> None:
        """Not only how many."""
        clock = Listener().clock
        now = [0.0]

        def slow() -> bool:
            now[0] += pacing.SLICE
            return True

        client = self.Client([], 0)
        client.step = slow  # type: ignore[method-assign]
        pacer = pacing.Pacer(clock, lambda: now[0])
        pacer.serve(client)
        self.assertLessEqual(now[0], 3 * pacing.SLICE)
        pacer.forget(client)
        self.assertEqual(clock.getDelayedCalls(), [])


class RealSockets(TestCase):
    """Ten thousand requests at once over TCP, before a port in memory that answers a few each turn."""

    timeout = 25

    async def listen(self, protocol: str) -> int:
        self.port = MemoryPort()
        front_end = front_ends()[protocol]
        self.factory = front_end.build(front_end.options(), memory_context(MemoryPorts(self.port), reactor, protocol))
        listening = reactor.listenTCP(0, self.factory, interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        self.most, self.waiting = 0, []
        self.port.request = self.request  # type: ignore[method-assign,assignment]
        self.port.is_full_for = lambda client, timeout: len(self.waiting) >= 50  # type: ignore[method-assign]
        return int(listening.getHost().port)

    def request(self, caller: object, unit: int, pdu: bytes, terms: object) -> Deferred[bytes]:
        asked: Deferred[bytes] = Deferred(self.withdrawn)
        self.waiting.append(asked)
        self.most = max(self.most, len(self.waiting))
        if len(self.waiting) == 1:
            reactor.callLater(0, self.answer)
        return asked

    def withdrawn(self, asked: Deferred[bytes]) -> None:
        self.waiting.remove(asked)

    def answer(self) -> None:
        """Ten answers a turn."""
        for _ in range(min(10, len(self.waiting))):
            self.waiting.pop(0).callback(REPLY)
        if self.waiting:
            reactor.callLater(0, self.answer)

    async def all_answered(self, protocol: str, request: bytes, ending: bytes) -> None:
        where = await self.listen(protocol)
        got = await deferToThread(asked_at_once, where, request, 10_000, ending)
        self.assertEqual((got, self.most <= 50), (10_000, True))

    async def test_modbus_tcp(self) -> None:
        await self.all_answered("modbus-tcp", encode_adu(7, 1, READ), encode_adu(7, 1, REPLY))

    async def test_lines(self) -> None:
        line = b"id7:x::9600:" + append_crc(b"\1" + READ).hex().encode() + b":7\n"
        await self.all_answered("line", line, b"id7:")

    async def test_a_reset_is_noticed_while_nothing_is_read(self) -> None:
        where = await self.listen("modbus-tcp")
        self.port.request = lambda *_, **__: Deferred(lambda _: None)  # type: ignore[method-assign]
        self.port.is_full_for = lambda client, timeout: True  # type: ignore[method-assign]
        client = socket.create_connection(("127.0.0.1", where))
        client.sendall(1000 * encode_adu(7, 1, READ))
        await self.until(lambda: self.factory.counts()["requests"])
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        began = reactor.seconds()
        await self.until(lambda: not self.factory.counts()["clients"])
        self.assertLess(reactor.seconds() - began, 5 * LOOK_EVERY)

    async def until(self, true: Callable[[], object]) -> None:
        while not true():
            await deferLater(reactor, 0.001)


def asked_at_once(where: int, request: bytes, count: int, ending: bytes) -> int:
    """How many answers come to so many requests that are sent without waiting; they are read only afterwards."""
    with socket.create_connection(("127.0.0.1", where)) as client:
        client.settimeout(20)
        sending = threading.Thread(target=client.sendall, args=(count * request,))
        sending.start()
        got = b""
        while got.count(ending) < count:
            more = client.recv(1 << 16)
            if not more:
                break
            got += more
        sending.join()
    return got.count(ending)


class Strangers(GatewayCase):
    """Row A13: other protocols at the Modbus TCP port, at the RTU port, and at the line port."""

    def turned_away(self, protocol: str, *pieces: bytes) -> str:
        """What is logged within a second of first bytes; fails if the connection is not closed."""
        self.protocol = protocol
        self.start()
        self.events.clear()
        client = self.connect()
        for piece in pieces:
            client.send(piece)
        for _ in range(10):
            self.clock.advance(0.1)
        self.assertTrue(client.is_closed, (protocol, pieces))
        self.assertEqual(self.boiler.asked, [])
        client.leave()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return self.logged()

    def test_a13_rtu_to_modbus_tcp(self) -> None:
        pdus = ("030000000A", "03000A0001", "0600000005", "07", "050000FF00", "100000000204000A0102", "2B0E0100")
        for frame in (bytes.fromhex("01030000000AC5CD"), *(rtu(17, bytes.fromhex(pdu)) for pdu in pdus)):
            said = self.turned_away("modbus-tcp", frame)
            self.assertIn("192.168.1.1:54321: this looks like Modbus RTU; listen with rtu-tcp for it", said)
        said = self.turned_away("modbus-tcp", *(bytes((byte,)) for byte in bytes.fromhex("01030000000AC5CD")))
        self.assertIn("this looks like Modbus RTU", said)

    def test_a13_others(self) -> None:
        mbap = encode_adu(1, 1, READ)
        hello = bytes.fromhex("16030100A5010000A10303")
        for protocol, data, expected in (
            ("modbus-tcp", b"GET / HTTP/1.1\r\n", "HTTP"), ("modbus-tcp", hello, "TLS"),
            ("modbus-tcp", b"1:x::9600:010300000001840A:7\n", "lines of text"), ("modbus-tcp", b"SSH-2.0-x\r\n", "SSH"),
            ("rtu-tcp", mbap, "Modbus TCP; listen with modbus-tcp"), ("rtu-tcp", b"GET / HTTP/1.1\r\n", "HTTP"),
            ("rtu-tcp", hello, "TLS"), ("line", mbap, "Modbus TCP; listen with modbus-tcp"), ("line", hello, "TLS"),
            ("line", bytes.fromhex("01030000000AC5CD"), "Modbus RTU"), ("line", b"POST / HTTP/1.1\r\n\r\n", "HTTP"),
            ("values", b"GET / HTTP/1.1\r\n", "HTTP"), ("values", mbap, "Modbus TCP"), ("values", hello, "TLS"),
        ):
            self.assertIn(expected, self.turned_away(protocol, data), (protocol, data))

    def test_a13_a_request_that_does_not_end(self) -> None:
        """It may come late, and not never."""
        self.start()
        client = self.connect()
        whole = encode_adu(9, 1, READ)
        client.send(whole[:8])
        self.clock.advance(5)
        client.send(whole[8:])
        self.assertEqual(len(self.boiler.asked), 1)
        client.send(whole[:8])
        self.clock.advance(0.5)
        self.clock.advance(9.4)
        self.assertEqual(self.logged(), "")
        self.clock.advance(0.2)
        self.boiler.asked[0].end(rtu(1, REPLY))
        self.assertEqual(client.received(), encode_adu(*Adu(9, 1, REPLY)))
        self.assertTrue(client.is_closed)
        self.assertIn("8 bytes of a Modbus TCP request came, and not the rest within 10 s", self.logged())

    def test_our_own_are_no_strangers(self) -> None:
        for protocol, data in (
            ("modbus-tcp", encode_adu(0x0103, 1, READ)), ("rtu-tcp", rtu(1, READ)), ("rtu-tcp", rtu(1, b"\7")),
            ("line", b"GET:x::9600:010300000001840A:7\n"), ("values", b"read boiler.*\n"), ("line", b"help\n"),
        ):
            self.protocol = protocol
            self.start()
            client = self.connect()
            client.send(data)
            self.clock.advance(1)
            self.clock.advance(10)
            self.assertFalse(client.is_closed, (protocol, data))
            client.leave()
