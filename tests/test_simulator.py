"""The simulated bus on real pseudo-terminals in the real reactor, and its devices without either."""

from __future__ import annotations

import os
import pathlib
import re
import termios
import time
import tty
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from lumina_twisted.config.demo import BAUDRATES, DemoService, hints
from lumina_twisted.framing.rtu import decode_adu, encode_adu, t3_5, wire_time
from lumina_twisted.lineproto import parse_command
from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.pdu import decode_reply
from lumina_twisted.simulator.bus import FIFO, SimulatedBus
from lumina_twisted.simulator.device import TABLE_SIZE, SimulatedDevice
from tests.strategies import QUICK, REQUESTS

READ_TWO = encode_adu(1, bytes.fromhex("03 0005 0002"))
ANSWER = encode_adu(1, bytes.fromhex("03 04 0007 0008"))
SPEEDS = {4800: termios.B4800, 9600: termios.B9600, 19200: termios.B19200, 115200: termios.B115200}


def asked(device: SimulatedDevice, request: pdu.Request, now: float = 0.0) -> pdu.Reply:
    """What a device answers."""
    return decode_reply(device.answer(request.encode(), now))


class DeviceTests(SynchronousTestCase):
    """Devices, without a wire."""

    def setUp(self) -> None:
        self.device = SimulatedDevice()

    def refused(self, text: str, code: int) -> None:
        data = bytes.fromhex(text)
        self.assertEqual(self.device.answer(data, 0.0), bytes((data[0] | 0x80, code)), text)

    def test_coils(self) -> None:
        asked(self.device, pdu.WriteSingleCoilRequest(3, True))
        asked(self.device, pdu.WriteMultipleCoilsRequest(8, [1, 0, 1]))
        values = asked(self.device, pdu.ReadCoilsRequest(3, 8))
        self.assertEqual(values, pdu.ReadCoilsReply([1, 0, 0, 0, 0, 1, 0, 1]))

    def test_registers(self) -> None:
        self.assertEqual(
            asked(self.device, pdu.WriteSingleRegisterRequest(3, 500)), pdu.WriteSingleRegisterReply(3, 500)
        )
        self.assertEqual(
            asked(self.device, pdu.WriteMultipleRegistersRequest(4, (1, 65535))), pdu.WriteMultipleRegistersReply(4, 2)
        )
        self.assertEqual(
            asked(self.device, pdu.ReadHoldingRegistersRequest(3, 3)), pdu.ReadHoldingRegistersReply((500, 1, 65535))
        )

    def test_inputs(self) -> None:
        self.device.discrete_inputs[7] = 1
        self.device.input_registers[7] = 77
        self.assertEqual(asked(self.device, pdu.ReadDiscreteInputsRequest(7, 1)), pdu.ReadDiscreteInputsReply([1]))
        self.assertEqual(asked(self.device, pdu.ReadInputRegistersRequest(7, 1)), pdu.ReadInputRegistersReply((77,)))

    def test_mask(self) -> None:
        """The specification's own example: 0x12 becomes 0x17."""
        self.device.holding_registers[4] = 0x12
        asked(self.device, pdu.MaskWriteRegisterRequest(4, 0xF2, 0x25))
        self.assertEqual(self.device.holding_registers[4], 0x17)

    def test_written_before_it_is_read(self) -> None:
        reply = asked(self.device, pdu.ReadWriteMultipleRegistersRequest(3, 3, 4, (8, 9)))
        self.assertEqual(reply, pdu.ReadWriteMultipleRegistersReply((0, 8, 9)))

    def test_about_itself(self) -> None:
        self.device.coils[1] = 1
        self.assertEqual(asked(self.device, pdu.ReadExceptionStatusRequest()), pdu.ReadExceptionStatusReply(2))
        self.assertEqual(asked(self.device, pdu.DiagnosticsRequest(0, b"abcd")), pdu.DiagnosticsReply(0, b"abcd"))
        self.assertIsInstance(asked(self.device, pdu.ReportServerIdRequest()), pdu.ReportServerIdReply)
        told = asked(self.device, pdu.ReadDeviceIdentificationRequest(1, 0))
        assert isinstance(told, pdu.ReadDeviceIdentificationReply)
        self.assertEqual(told.objects, ((0, b"Lumina"), (1, b"simulated device"), (2, b"1.0")))

    def test_no_such_function(self) -> None:
        for text in ("41", "2b 0d 00 00", "08 0063 0000"):
            self.refused(text, 1)

    def test_no_such_address(self) -> None:
        last = f"{TABLE_SIZE - 1:04x}"
        for text in (
            f"01 {last} 0002", f"02 {TABLE_SIZE:04x} 0001", f"03 {last} 0002", f"04 {last} 0002", "05 ffff ff00",
            "06 ffff 0001", f"0f {last} 0002 01 03", f"10 {last} 0002 04 0001 0002", "16 ffff 0000 0000",
            f"17 {last} 0002 0000 0001 02 0001", f"17 0000 0001 {last} 0002 04 0001 0001",
        ):
            self.refused(text, 2)

    def test_values_beyond_the_limits(self) -> None:
        for text in (
            "01 0000 0000", "02 0000 07d1", "03 0000 007e", "04 0000 0000", "05 0000 0001", "0f 0000 0000 00",
            "0f 0000 0009 01 ff", "10 0000 0000 00", "10 0000 0002 02 0000", "17 0000 007e 0000 0001 02 0000",
            "2b 0e 05 00",
        ):
            self.refused(text, 3)

    def test_what_is_refused_is_not_done(self) -> None:
        asked(self.device, pdu.WriteMultipleRegistersRequest(TABLE_SIZE - 1, (1, 2)))
        self.assertEqual(self.device.holding_registers, [0] * TABLE_SIZE)

    @QUICK
    @given(REQUESTS, st.floats(0, 1e6))
    def test_every_request_is_answered(self, request: pdu.Request, now: float) -> None:
        encoded = request.encode()
        reply = SimulatedDevice().answer(encoded, now)
        self.assertEqual(reply[0] & 0x7F, encoded[0])
        decode_reply(reply)


@implementer(IReadDescriptor)
class Gateway:
    """Whoever has the terminal open."""

    def __init__(self, path: str, baudrate: int) -> None:
        self.received = b""
        self.times: list[float] = []
        self.hung_up = False
        self._waiting: tuple[int, Deferred[bytes]] | None = None
        self._fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self._fd)
        self.set_speed(baudrate)
        reactor.addReader(self)

    def set_speed(self, baudrate: int) -> None:
        """The speed of what is sent from now on."""
        mode = termios.tcgetattr(self._fd)
        mode[4] = mode[5] = SPEEDS.get(baudrate, termios.B0)
        termios.tcsetattr(self._fd, termios.TCSANOW, mode)

    def send(self, data: bytes) -> None:
        """Bytes onto the wire."""
        os.write(self._fd, data)

    def read(self, length: int) -> Deferred[bytes]:
        """The next bytes off it, so many."""
        self._waiting = (length, Deferred())
        deferred = self._waiting[1]
        self._tell()
        return deferred

    def ask(self, frame: bytes, length: int) -> Deferred[bytes]:
        """Sends a frame and waits for the answer."""
        self.send(frame)
        return self.read(length)

    def close(self) -> None:
        """Closes the terminal."""
        if self._fd >= 0:
            reactor.removeReader(self)
            os.close(self._fd)
            self._fd = -1

    def fileno(self) -> int:
        """The terminal."""
        return self._fd

    def doRead(self) -> None:
        """Bytes came, or the terminal went."""
        try:
            data = os.read(self._fd, 4096)
        except OSError:
            data = b""
        self.hung_up = not data
        if self.hung_up:
            reactor.removeReader(self)
        self.received += data
        self.times.append(time.monotonic())
        self._tell()

    def _tell(self) -> None:
        if self._waiting is not None and (self.hung_up or len(self.received) >= self._waiting[0]):
            (length, deferred), self._waiting = self._waiting, None
            data, self.received = self.received[:length], self.received[length:]
            deferred.callback(data)

    def connectionLost(self, reason: object) -> None:
        """See :class:`twisted.internet.interfaces.IReadDescriptor`."""

    def logPrefix(self) -> str:
        """See :class:`twisted.internet.interfaces.ILoggingContext`."""
        return "gateway"


class BusTestCase(TestCase):
    """A bus with unit 1 at 19200 baud unless said otherwise, and a gateway; nothing is left of them."""

    timeout = 20

    def setUp(self) -> None:
        self.path = str(pathlib.Path(self.mktemp()).absolute())
        self.device = SimulatedDevice()
        self.device.holding_registers[5:7] = [7, 8]

    def bus(self, **options: Any) -> SimulatedBus:
        """A plugged bus."""
        bus = SimulatedBus(reactor, {1: self.device}, self.path, time.monotonic, **{"baudrate": 19200, **options})
        self.addCleanup(bus.stop)
        return bus

    def gateway(self, baudrate: int = 19200) -> Gateway:
        """The terminal, opened."""
        gateway = Gateway(self.path, baudrate)
        self.addCleanup(gateway.close)
        return gateway

    def turn(self) -> Deferred[None]:
        """One turn of the reactor later."""
        return deferLater(reactor, 0)

    def pause(self, seconds: float) -> Deferred[None]:
        """So much later."""
        return deferLater(reactor, seconds)


class WireTests(BusTestCase):
    """Frames and their time."""

    async def test_read(self) -> None:
        bus, gateway = self.bus(), self.gateway()
        self.assertEqual(await gateway.ask(READ_TWO, len(ANSWER)), ANSWER)
        self.assertEqual([(one.data, one.baudrate) for one in bus.heard], [(READ_TWO, 19200)])

    async def test_write(self) -> None:
        self.bus()
        frame = encode_adu(1, bytes.fromhex("06 0005 1234"))
        self.assertEqual(await self.gateway().ask(frame, len(frame)), frame)
        self.assertEqual(self.device.holding_registers[5], 0x1234)

    async def test_exception(self) -> None:
        self.bus()
        frame = encode_adu(1, bytes.fromhex("03 ffff 0001"))
        self.assertEqual(await self.gateway().ask(frame, 5), encode_adu(1, b"\x83\x02"))

    async def test_long_answer(self) -> None:
        self.bus()
        frame = encode_adu(1, bytes.fromhex("03 0000 007d"))
        unit, reply = decode_adu(await self.gateway().ask(frame, 255))
        self.assertEqual((unit, len(reply)), (1, 252))
        self.assertGreater(252, FIFO)

    async def test_broadcast_is_obeyed_and_not_answered(self) -> None:
        """The first bytes that come are the answer to what was asked afterwards."""
        self.bus()
        gateway = self.gateway()
        gateway.send(encode_adu(0, bytes.fromhex("06 0005 0063")))
        answer = await gateway.ask(READ_TWO, len(ANSWER))
        self.assertEqual(answer, encode_adu(1, bytes.fromhex("03 04 0063 0008")))

    async def test_absent_unit_is_silent(self) -> None:
        bus, gateway = self.bus(), self.gateway()
        absent = encode_adu(2, bytes.fromhex("03 0005 0002"))
        gateway.send(absent)
        self.assertEqual(await gateway.ask(READ_TWO, len(ANSWER)), ANSWER)
        self.assertEqual([one.data for one in bus.heard], [absent, READ_TWO])

    async def test_unknown_function_ends_at_silence(self) -> None:
        self.bus()
        self.assertEqual(await self.gateway().ask(encode_adu(1, b"\x41abc"), 5), encode_adu(1, b"\xc1\x01"))

    async def test_it_takes_the_time_of_the_wire(self) -> None:
        """At least; how much longer is the machine's affair."""
        for baudrate in (4800, 19200):
            with self.subTest(baudrate):
                bus = self.bus(baudrate=baudrate, device_time=0.005)
                gateway = self.gateway(baudrate)
                began = time.monotonic()
                await gateway.ask(READ_TWO, len(ANSWER))
                ideal = wire_time(baudrate, len(READ_TWO) + len(ANSWER)) + t3_5(baudrate) + 0.005
                self.assertGreaterEqual(gateway.times[-1] - began, ideal - 0.0005)
                self.assertGreaterEqual(bus.heard[0].time - began, wire_time(baudrate, len(READ_TWO)) - 0.0005)
                gateway.close()
                bus.stop()

    async def test_another_speed_is_not_understood(self) -> None:
        bus, gateway = self.bus(), self.gateway(9600)
        gateway.send(encode_adu(1, bytes.fromhex("06 0005 0063")))
        while not bus.heard:  # its last byte has left the wire before the speed is changed
            await self.turn()
        gateway.set_speed(19200)
        self.assertEqual(await gateway.ask(READ_TWO, len(ANSWER)), ANSWER)
        self.assertEqual([one.baudrate for one in bus.heard], [9600, 19200])

    async def test_no_wire_time_without_a_speed(self) -> None:
        bus, gateway = self.bus(), self.gateway(0)
        self.assertEqual(bus.speed, 0)
        self.assertEqual(await gateway.ask(READ_TWO, len(ANSWER)), ANSWER)

    async def test_echo(self) -> None:
        self.bus(echo=True)
        both = await self.gateway().ask(READ_TWO, len(READ_TWO) + len(ANSWER))
        self.assertEqual(both, READ_TWO + ANSWER)

    async def test_a_frame_in_pieces(self) -> None:
        """Handed over one after the other without a pause on the wire."""
        self.bus()
        gateway = self.gateway()
        for at in range(len(READ_TWO)):
            gateway.send(READ_TWO[at : at + 1])
        self.assertEqual(await gateway.read(len(ANSWER)), ANSWER)

    async def test_pieces_take_their_time_on_the_wire(self) -> None:
        """The second begins when the first has left it, and no silence lies between."""
        bus, gateway = self.bus(baudrate=4800), self.gateway(4800)
        began = time.monotonic()
        for piece in (READ_TWO[:1], READ_TWO[1:]):
            gateway.send(piece)
            bus.doRead()
        self.assertEqual(await gateway.read(len(ANSWER)), ANSWER)
        self.assertGreaterEqual(bus.heard[0].time - began, wire_time(4800, len(READ_TWO)) - 0.0005)

    async def test_junk_is_forgotten_at_silence(self) -> None:
        """A frame that was broken off does not make the devices deaf."""
        self.bus()
        gateway = self.gateway()
        gateway.send(READ_TWO[:5])
        while not gateway.received:  # the first frame may come before the silence has been noticed
            await deferLater(reactor, 0.1, gateway.send, READ_TWO)
        self.assertEqual(await gateway.read(len(ANSWER)), ANSWER)


class PluggingTests(BusTestCase):
    """The terminal vanishes and returns under its path."""

    async def test_unplug_is_a_hang_up(self) -> None:
        bus, gateway = self.bus(), self.gateway()
        bus.unplug()
        self.assertFalse(os.path.lexists(self.path))
        self.assertEqual(await gateway.read(1), b"")
        self.assertTrue(gateway.hung_up)

    async def test_replug(self) -> None:
        bus = self.bus()
        gateway = self.gateway()
        bus.unplug()
        await gateway.read(1)
        bus.replug()
        self.assertEqual(await self.gateway().ask(READ_TWO, len(ANSWER)), ANSWER)

    async def test_what_is_under_way_is_lost(self) -> None:
        """A delayed call that was left would make the reactor unclean."""
        bus, gateway = self.bus(), self.gateway()
        gateway.send(READ_TWO)
        bus.doRead()
        bus.unplug()
        bus.replug()
        self.assertEqual(await self.gateway().ask(READ_TWO, len(ANSWER)), ANSWER)
        self.assertEqual(len(bus.heard), 1)

    async def test_closing_the_gateway_is_no_hang_up(self) -> None:
        self.bus()
        for _ in range(2):
            gateway = self.gateway()
            self.assertEqual(await gateway.ask(READ_TWO, len(ANSWER)), ANSWER)
            gateway.close()

    def test_stopping_twice(self) -> None:
        bus = self.bus()
        bus.stop()
        bus.stop()
        self.assertFalse(os.path.lexists(self.path))


class ScriptTests(BusTestCase):
    """A test plays the device."""

    async def test_pieces_and_delays(self) -> None:
        began = time.monotonic()
        self.bus(script=lambda frame: [(0.03, frame[:2]), (0.06, b"junk")])
        gateway = self.gateway()
        self.assertEqual(await gateway.ask(READ_TWO, 6), READ_TWO[:2] + b"junk")
        ideal = wire_time(19200, len(READ_TWO)) + 0.06
        self.assertGreaterEqual(gateway.times[-1] - began, ideal - 0.0005)

    async def test_instead_of_the_devices_at_any_speed(self) -> None:
        bus = self.bus(script=lambda frame: [(0.0, b"?")])
        self.assertEqual(await self.gateway(4800).ask(READ_TWO, 1), b"?")
        bus.script = lambda frame: []
        self.assertEqual([one.baudrate for one in bus.heard], [4800])

    async def test_silence(self) -> None:
        answers: list[list[tuple[float, bytes]]] = [[], [(0.0, b"second")]]
        self.bus(script=lambda frame: answers.pop(0))
        gateway = self.gateway()
        gateway.send(READ_TWO)
        self.assertEqual(await gateway.ask(READ_TWO, 6), b"second")


class DemoTests(TestCase):
    """Two buses to try Lumina on."""

    timeout = 20

    def setUp(self) -> None:
        self.demo = DemoService(reactor)
        self.demo.startService()
        self.addCleanup(self.demo.stopService)

    def test_ports(self) -> None:
        self.assertEqual({name: one.baudrate for name, one in self.demo.ports.items()}, BAUDRATES)
        for one in self.demo.ports.values():
            self.assertTrue(os.path.exists(one.path))

    def test_nothing_is_left(self) -> None:
        self.demo.stopService()
        for one in self.demo.ports.values():
            self.assertFalse(os.path.exists(os.path.dirname(one.path)))

    async def test_what_the_hints_say_is_answered(self) -> None:
        lines = re.findall(r"printf '([^']*:[^']*)\\n' \| nc -q1 127\.0\.0\.1 8888", hints())
        self.assertGreater(len(lines), 3)
        for line in lines:
            command = parse_command(line.encode())
            gateway = Gateway(self.demo.ports[command.port].path, command.baudrate)
            self.addCleanup(gateway.close)
            _, reply = decode_adu(await gateway.ask(command.frame, command.response_length))
            self.assertNotIsInstance(decode_reply(reply), pdu.ExceptionReply)
            gateway.close()

    def test_help_is_among_them(self) -> None:
        self.assertIn("help", hints())
        self.assertIn("\n  lumina read demo1 1 input 0\n", hints())
        self.assertIn("\n  lumina read demo1 1 input 0 --server [::1]:99\n", hints(("::1", 99)))
