"""Tables of simulated devices: what moves in them, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.errors import IllegalDataAddress, ModbusException
from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.pdu import decode_reply
from lumina_twisted.simulator.device import Range, SimulatedDevice, Table
from lumina_twisted.simulator.values import Bit, Cell, Counter, Value
from tests.simulator.test_waves import wave

U16 = Value(type="u16")
U32 = Value(type="u32")


class TableTestCase(SynchronousTestCase):
    """What a table refuses."""

    def refused(self, code: int, table: Table, address: int, values: Sequence[int]) -> None:
        """A write of these values, which leaves the table as it was."""
        before = list(table)
        error = self.assertRaises(ModbusException, table.write, address, values, 0.0)
        self.assertEqual((error.code, list(table)), (code, before))


class SizeTests(TableTestCase):
    """Where a table ends."""

    def test_end(self) -> None:
        table = Table(10)
        self.assertEqual(table.read(8, 2, 0.0), [0, 0])
        self.assertRaises(IllegalDataAddress, table.read, 9, 2, 0.0)
        self.refused(2, table, 9, [1, 2])

    def test_empty(self) -> None:
        self.assertRaises(IllegalDataAddress, Table(0).read, 0, 1, 0.0)


class RangeTests(TableTestCase):
    """Addresses that are refused."""

    def test_forbidden(self) -> None:
        table = Table(forbidden=[Range(5, 6, 4)])
        for address, quantity in ((5, 1), (6, 1), (4, 2), (6, 2), (0, 20)):
            error = self.assertRaises(ModbusException, table.read, address, quantity, 0.0)
            self.assertEqual(error.code, 4)
            self.refused(4, table, address, [1] * quantity)
        self.assertEqual(table.read(0, 5, 0.0) + table.read(7, 5, 0.0), [0] * 10)

    def test_read_only(self) -> None:
        table = Table(read_only=[Range(5, 6)])
        table[5] = 7
        self.assertEqual(table.read(4, 4, 0.0), [0, 7, 0, 0])
        for address, quantity in ((5, 1), (6, 1), (4, 2), (6, 2)):
            self.refused(2, table, address, [1] * quantity)
        table.write(7, [1], 0.0)

    def test_write_once(self) -> None:
        """Each address by itself; a write that holds one which has had its turn is refused whole."""
        table = Table(write_once=[Range(5, 6, 3)])
        table.write(5, [1], 0.0)
        self.refused(3, table, 5, [2])
        self.refused(3, table, 4, [2, 2, 2])
        table.write(6, [3], 0.0)
        self.refused(3, table, 6, [4])
        for value in (8, 9):
            table.write(7, [value], 0.0)
        self.assertEqual(table.read(5, 3, 0.0), [1, 3, 9])

    def test_a_refused_write_is_no_write(self) -> None:
        table = Table(8, write_once=[Range(7, 7, 3)])
        self.refused(2, table, 7, [1, 1])
        table.write(7, [1], 0.0)


class CellTests(TableTestCase):
    """Entries that move."""

    def test_temperature(self) -> None:
        table = Table(cells=[Cell(0, wave("sine", 200, 230, 120), U16)])
        self.assertEqual([table.read(0, 1, now) for now in (0.0, 30.0, 60.0, 90.0)], [[215], [230], [215], [200]])

    def test_below_zero(self) -> None:
        self.assertEqual(Value(type="i16").encode(-5), (0xFFFB,))
        self.assertEqual(U16.encode(-5), (0xFFFB,))

    def test_bits(self) -> None:
        table = Table(cells=[Cell(3, wave("square", 0, 1, 10), Bit())])
        self.assertEqual([table.read(2, 3, now) for now in (0.0, 5.0)], [[0, 1, 0], [0, 0, 0]])

    def test_wraps(self) -> None:
        table = Table(cells=[Cell(0, Counter(1, 0xFFFE), U16)])
        self.assertEqual([table.read(0, 1, now)[0] for now in (1.0, 2.0, 3.0)], [0xFFFF, 0, 1])

    def test_signed_wraps(self) -> None:
        table = Table(cells=[Cell(0, Counter(1, 0x7FFF), Value(type="i16"))])
        self.assertEqual([table.read(0, 1, now)[0] for now in (0.0, 1.0)], [0x7FFF, 0x8000])

    def test_never_torn(self) -> None:
        """Both words are of one moment, also where the high one changes."""
        table = Table(cells=[Cell(0, Counter(1, 0xFFFF), U32)])
        self.assertEqual([table.read(0, 2, now) for now in (0.0, 0.999, 1.0)], [[0, 0xFFFF], [0, 0xFFFF], [1, 0]])

    def test_a_part_of_it(self) -> None:
        table = Table(cells=[Cell(4, Counter(1, 0x20003), U32)])
        self.assertEqual((table.read(5, 1, 0.0), table.read(4, 1, 0.0), table.read(3, 2, 1.0)), ([3], [2], [0, 2]))

    def test_word_order(self) -> None:
        table = Table(cells=[Cell(0, Counter(1, 0x20003), Value(type="u32", word_order="little"))])
        self.assertEqual(table.read(0, 2, 0.0), [3, 2])

    def test_a_counter_goes_on_from_what_is_written(self) -> None:
        table = Table(cells=[Cell(0, Counter(1, 0x20003), U32)])
        table.write(1, [0], 10.0)
        self.assertEqual(table.read(0, 2, 15.0), [2, 5])

    def test_a_write_beside_it(self) -> None:
        """Touches it on neither side."""
        table = Table(cells=[Cell(4, wave("saw", 0, 60, 6), U32)])
        for address in (3, 6):
            table.write(address, [7], 1.0)
        self.assertEqual(table.read(3, 4, 2.0), [7, 0, 20, 7])

    def test_anything_else_stands_still(self) -> None:
        """A word that was not written keeps the value of that moment."""
        table = Table(cells=[Cell(0, wave("saw", 0, 0x60000, 6), U32), Cell(2, Counter(1), U16)])
        table.write(1, [7], 2.0)
        self.assertEqual([table.read(0, 3, now) for now in (3.0, 4.0)], [[2, 7, 3], [2, 7, 4]])


class DeviceTests(SynchronousTestCase):
    """Tables behind the functions."""

    def setUp(self) -> None:
        self.device = SimulatedDevice()

    def asked(self, request: pdu.Request, now: float = 0.0) -> pdu.Reply:
        """The reply."""
        return decode_reply(self.device.answer(request.encode(), now))

    def test_a_counter_is_reset_by_another_register(self) -> None:
        counter = Counter(2.0, 65530)
        self.device.input_registers.cells = [Cell(0, counter, U32)]
        self.device.on_write = {0: [lambda now: counter.count_from(0, now)]}
        request = pdu.ReadInputRegistersRequest(0, 2)
        self.assertEqual(self.asked(request, 5.0), pdu.ReadInputRegistersReply((1, 4)))
        self.asked(pdu.WriteSingleRegisterRequest(0, 0), 10.0)
        self.assertEqual(self.asked(request, 11.5), pdu.ReadInputRegistersReply((0, 3)))

    def test_every_write_is_refused(self) -> None:
        """By each function that writes; the exception has the code that was given."""
        self.device.holding_registers = Table(read_only=[Range(5, 5, 4)])
        self.device.coils = Table(read_only=[Range(5, 5, 4)])
        for request in (
            pdu.WriteSingleCoilRequest(5, True), pdu.WriteMultipleCoilsRequest(4, [1, 1]),
            pdu.WriteSingleRegisterRequest(5, 1), pdu.WriteMultipleRegistersRequest(4, (1, 1)),
            pdu.MaskWriteRegisterRequest(5, 0, 1), pdu.ReadWriteMultipleRegistersRequest(0, 1, 4, (1, 1)),
        ):
            self.assertEqual(self.asked(request), pdu.ExceptionReply(request.function_code, 4))
        self.assertEqual(sum(self.device.holding_registers) + sum(self.device.coils), 0)

    def test_nothing_is_written_if_the_read_is_refused(self) -> None:
        self.device.holding_registers = Table(forbidden=[Range(9, 9)])
        request = pdu.ReadWriteMultipleRegistersRequest(9, 1, 0, (1,))
        self.assertEqual(self.asked(request), pdu.ExceptionReply(23, 2))
        self.assertEqual(self.device.holding_registers[0], 0)

    def test_few_coils(self) -> None:
        """The exception status has what there is."""
        self.device.coils = Table(2)
        self.device.coils[1] = 1
        self.assertEqual(self.asked(pdu.ReadExceptionStatusRequest()), pdu.ReadExceptionStatusReply(2))
