"""Simulations from TOML: what a file may say, what it then means, and a sentence for each thing it may not."""

from __future__ import annotations

import pathlib
import struct
import tomllib
from typing import ClassVar

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.config.simulation import settings_from_toml
from lumina_twisted.errors import ConfigError
from lumina_twisted.modbus import pdu
from lumina_twisted.modbus.pdu import decode_reply
from lumina_twisted.simulator.device import SimulatedDevice
from lumina_twisted.simulator.faults import KINDS
from lumina_twisted.simulator.settings import (
    IdentitySettings,
    SimulatedBusSettings,
    SimulatedUnitSettings,
    SimulationSettings,
    TableSettings,
    simulation_settings,
)
from lumina_twisted.simulator.simulation import devices_of
from lumina_twisted.simulator.values import Constant

UNIT = "[buses.b.units.1]\n"
HOLDING = "[buses.b.units.1.holding_registers]\n"
COILS = "[buses.b.units.1.coils]\n"
AT = "buses.b.units.1"


def read(text: str) -> SimulationSettings:
    """The settings in a TOML text."""
    return simulation_settings(tomllib.loads(text))


def device(text: str) -> SimulatedDevice:
    """Unit 1 on bus b of a TOML text."""
    return devices_of(read(text).buses["b"], "seed")[1]


def holding(text: str, quantity: int, now: float = 0.0, address: int = 0) -> list[int]:
    """Its first holding registers, of which the text holds the table."""
    return device(HOLDING + text).holding_registers.read(address, quantity, now)


class MeaningTests(SynchronousTestCase):
    """What is said is what is simulated."""

    def test_least(self) -> None:
        """A bus without devices is a bus."""
        self.assertEqual(read("[buses.b]"), SimulationSettings(buses={"b": SimulatedBusSettings()}))

    def test_defaults(self) -> None:
        """An empty unit is the device that a test gets without settings."""
        got, plain = device(UNIT), SimulatedDevice()
        for request in ("0300000003e8", "03000003e8", "0100000008", "2b0e0100", "11", "1400", "180001"):
            self.assertEqual(got.answer(bytes.fromhex(request), 0.0), plain.answer(bytes.fromhex(request), 0.0))

    def test_plain_values(self) -> None:
        self.assertEqual(holding('1 = 5\n3 = [7, 8]\n0x10 = "abc"', 18), [0, 5, 0, 7, 8, *[0] * 11, 0x6162, 0x6300])

    def test_bits(self) -> None:
        made = device(COILS + "0 = true\n2 = [1, 0, true]\n5 = { value = [true, true] }")
        self.assertEqual(made.coils.read(0, 8, 0.0), [1, 0, 1, 0, 1, 1, 1, 0])

    def test_types(self) -> None:
        words = struct.unpack(">2H", struct.pack(">f", 21.5))
        self.assertEqual(holding('0 = { value = 21.5, type = "f32" }', 2), [*words])
        self.assertEqual(holding('0 = { value = 21.5, type = "f32", word_order = "little" }', 2), [*words[::-1]])
        self.assertEqual(holding('0 = { value = [-1, 2], type = "i32" }', 4), [0xFFFF, 0xFFFF, 0, 2])
        self.assertEqual(holding('0 = { value = 1, byte_order = "little" }', 1), [0x0100])

    def test_texts(self) -> None:
        self.assertEqual(holding('0 = { value = "ab", length = 3 }\n3 = 9', 4), [0x6162, 0, 0, 9])
        self.assertEqual(holding('0 = { value = "é", encoding = "utf-8" }', 1), [0xC3A9])
        self.assertEqual(holding('0 = { value = "", length = 2 }\n2 = 9', 3), [0, 0, 9])

    def test_moving(self) -> None:
        for text, at_0, at_5 in (
            ('kind = "wave", shape = "saw", low = 100, high = 200, period = 10', 100, 150),
            ('kind = "wave", low = 100, high = 200, period = 20', 150, 200),
            ('kind = "ramp", start = 10, end = 20, seconds = 2', 10, 20),
            ('kind = "counter", rate = 2, start = 65530', 65530, 4),
        ):
            told = [holding(f"0 = {{ {text} }}", 1, now) for now in (0.0, 5.0)]
            self.assertEqual(told, [[at_0], [at_5]], text)

    def test_walk(self) -> None:
        """The same in every run; another address is another walk."""
        walk = '{ kind = "walk", low = 0, high = 1000, step = 50 }'
        one, again = (holding(f"0 = {walk}\n1 = {walk}", 2, 100.0) for _ in range(2))
        self.assertEqual(one, again)
        self.assertNotEqual(one[0], one[1])
        self.assertEqual(holding(f"0 = {walk}", 1), [500])

    def test_counter_that_is_reset(self) -> None:
        made = device(
            '[buses.b.units.1.input_registers]\n0 = { kind = "counter", type = "u32", start = 70000, reset_by = 9 }'
        )
        self.assertEqual(made.input_registers.read(0, 2, 3.0), [1, 4467])
        made.answer(pdu.WriteSingleRegisterRequest(9, 0).encode(), 10.0)
        self.assertEqual(made.input_registers.read(0, 2, 13.0), [0, 3])

    def test_ranges(self) -> None:
        made = device(HOLDING + "size = 20\nread_only = [{ first = 1, last = 2 }, { first = 4, exception = 1 }]")
        self.assertEqual([self.written(made, address) for address in (0, 1, 2, 3, 4, 5, 20)], [0, 2, 2, 0, 1, 0, 2])
        made = device(HOLDING + "write_once = [{ first = 3, exception = 3 }]\nforbidden = [{ first = 7 }]")
        self.assertEqual([self.written(made, address) for address in (3, 3, 7)], [0, 3, 2])

    def written(self, made: SimulatedDevice, address: int) -> int:
        """The exception to a write, or 0."""
        reply = decode_reply(made.answer(pdu.WriteSingleRegisterRequest(address, 1).encode(), 0.0))
        return reply.exception_code if isinstance(reply, pdu.ExceptionReply) else 0

    def test_identity(self) -> None:
        made = device(UNIT + 'identity = { product_code = "X1", model_name = "X" }')
        told = decode_reply(made.answer(bytes.fromhex("2b0e0200"), 0.0))
        assert isinstance(told, pdu.ReadDeviceIdentificationReply)
        self.assertEqual(told.objects, ((0, b"Lumina"), (1, b"X1"), (2, b"1.0"), (5, b"X")))

    def test_files_and_queues(self) -> None:
        made = device(UNIT + "files = { 4 = [1, 2] }\nfifo_queues = { 0x10 = [7] }")
        self.assertEqual((made.files, made.fifo_queues), ({4: [1, 2]}, {16: [7]}))

    def test_faults(self) -> None:
        """Each kind needs its rate only, and may stand below a bus and below a unit."""
        below = [f'[[{where}.faults]]\nkind = "{kind}"\nrate = 0.5\n' for where in ("buses.b", AT) for kind in KINDS]
        bus = read("".join(below)).buses["b"]
        classes = [KINDS[kind](rate=0.5) for kind in KINDS]
        self.assertEqual((list(bus.faults), list(bus.units[1].faults)), (classes, classes))


NO_ADDRESS = "expected an address, as 17 or 0x11, or one of size, forbidden, read_only, write_once"
WRONG = {
    "": "buses: there is no bus; add a table [buses.NAME]",
    "buses = 1": "buses: expected tables, got 1",
    "seed = -1\n[buses.b]": "seed: expected 0 to 9.22337203685478e+18, got -1",
    "sede = 1\n[buses.b]": "sede: unknown key; did you mean 'seed'?",
    "log = 1\n[buses.b]": "log: expected a table, got 1",
    "[log]\nsize = 'big'\n[buses.b]": "log.size: expected a whole number, got 'big'",
    "[buses]\nb = 1": "buses.b: expected a table, got 1",
    '[buses."a b"]': "buses.a b: the name of a bus has letters, digits, '_', '.' and '-' only",
    "[buses.b]\nbaud = 1": "buses.b.baud: unknown key; did you mean 'baudrate'?",
    "[buses.b]\nbaudrate = 0": "buses.b.baudrate: expected 1 to 10000000, got 0",
    "[buses.b]\nlink = 'x'\n[buses.c]\nlink = './x'": "buses.c.link: buses.b has the link ./x too",
    '[buses.b]\nlink = "\\u0000"': "buses.b.link: expected a path, got '\\x00'",
    "[buses.b]\nunits = 1": "buses.b.units: expected tables, got 1",
    "[buses.b]\nfaults = 1": "buses.b.faults: expected tables [[buses.b.faults]], with two brackets, got 1",
    "[buses.b]\nfaults = [1]": "buses.b.faults[0]: expected a table, got 1",
    "[[buses.b.faults]]\nrate = 1": f"buses.b.faults[0].kind: this key is required; there are {', '.join(KINDS)}",
    "[[buses.b.faults]]\nkind = 1": f"buses.b.faults[0].kind: there is no fault 1; there are {', '.join(KINDS)}",
    "[[buses.b.faults]]\nkind = 'lat'": "buses.b.faults[0].kind: there is no fault 'lat'; did you mean 'late'?",
    "[[buses.b.faults]]\nkind = 'late'": "buses.b.faults[0]: give either rate, from 0 to 1, or every, as in every = 40",
    f"[[{AT}.faults]]\nkind = 'busy'\nevery = 1\ndeaf = 1": f"{AT}.faults[0].deaf: expected true or false, got 1",
    "[[buses.b.faults]]\nkind = 'duplicate'\nevery = 7\nafter = -1":
        "buses.b.faults[0].after: expected 0 to 3600, got -1.0",
    "[[buses.b.masters]]": "buses.b.masters[0].unit: this key is required",
    "[[buses.b.masters]]\nunit = 0": "buses.b.masters[0].unit: expected 1 to 255, got 0",
    "[[buses.b.masters]]\nunit = 1\ntable = 'holding'":
        "buses.b.masters[0].table: expected one of 'coils', 'discrete_inputs', 'holding_registers', 'input_registers',"
        " got 'holding'",
    "[[buses.b.masters]]\nunit = 1\nintervall = 2":
        "buses.b.masters[0].intervall: unknown key; did you mean 'interval'?",
    f"[[{AT}.faults]]\nkind = 'late'\nrate = 2": f"{AT}.faults[0].rate: expected 0 to 1, got 2.0",
    "[buses.b.units.0]": "buses.b.units.0: expected a unit identifier from 1 to 255 as the key, got '0'",
    "[buses.b.units.256]": "buses.b.units.256: expected a unit identifier from 1 to 255 as the key, got '256'",
    "[buses.b.units.one]": "buses.b.units.one: expected a unit identifier from 1 to 255 as the key, got 'one'",
    "[buses.b.units]\n1 = 1": f"{AT}: expected a table, got 1",
    "[buses.b.units]\n1 = {}\n0x1 = {}": "buses.b.units.0x1: 1 stands there already, written in another way",
    UNIT + "device_time = true": f"{AT}.device_time: expected a number, got True",
    UNIT + "coil = {}": f"{AT}.coil: unknown key; did you mean 'coils'?",
    UNIT + "coils = 1": f"{AT}.coils: expected a table, got 1",
    UNIT + "identity = { vendor = 'x' }": f"{AT}.identity.vendor: unknown key; did you mean 'vendor_url'?",
    UNIT + f"identity = {{ revision = '{'x' * 245}' }}":
        f"{AT}.identity.revision: longer than 244 bytes, which no reply can hold",
    UNIT + "files = { 0 = [1] }": f"{AT}.files.0: expected a file number from 1 to 65535 as the key, got '0'",
    UNIT + "files = { 1 = [1, 65536] }":
        f"{AT}.files.1: expected a list of registers, 0 to 65535 each, got [1, 65536]",
    UNIT + "fifo_queues = { 1 = 'x' }":
        f"{AT}.fifo_queues.1: expected a list of registers, 0 to 65535 each, got 'x'",
    COILS + "3 = 2": f"{AT}.coils.3: expected true or false, 1 or 0, or a list of them, got 2",
    COILS + "3 = 1.0": f"{AT}.coils.3: expected true or false, 1 or 0, or a list of them, got 1.0",
    COILS + "3 = { value = 1, type = 'u16' }": f"{AT}.coils.3.type: a bit has no type; take it away",
    COILS + "3 = { kind = 'counter' }":
        f'{AT}.coils.3: a bit cannot count; kind = "wave" with shape = "square" makes it come and go',
    f"[{AT}.input_registers]\nread_only = []":
        f"{AT}.input_registers.read_only: expected an address, as 17 or 0x11, or one of size, forbidden",
    HOLDING + "sise = 1": f"{AT}.holding_registers.sise: {NO_ADDRESS}",
    HOLDING + "size = 65537": f"{AT}.holding_registers.size: expected 0 to 65536, got 65537",
    HOLDING + "70000 = 1": f"{AT}.holding_registers.70000: expected an address from 0 to 65535 as the key, got '70000'",
    HOLDING + "007 = 1": f"{AT}.holding_registers.007: {NO_ADDRESS}",
    HOLDING + "1000 = 1": f"{AT}.holding_registers.1000: goes beyond the table's end; raise its size, which is 1000",
    HOLDING + "3 = [1, 2]\n4 = 1": f"{AT}.holding_registers.4: the value at 3 takes it, up to 4",
    HOLDING + "16 = 1\n0x10 = 1": f"{AT}.holding_registers.0x10: 16 stands there already, written in another way",
    HOLDING + "3 = 65536":
        f"{AT}.holding_registers.3: 65536 does not fit into u16, which holds 0 to 65535; u32 would hold it",
    HOLDING + "3 = 21.5":
        f"{AT}.holding_registers.3: 21.5 is no whole number, as u16 needs; f32 and f64 hold fractions",
    HOLDING + "3 = true": f"{AT}.holding_registers.3: expected a number, a text or a list of numbers, got True",
    HOLDING + "3 = []": f"{AT}.holding_registers.3: an empty list holds no value",
    HOLDING + "3 = ''":
        f"{AT}.holding_registers.3: an empty text holds no value; length says how many registers it takes",
    HOLDING + "3 = 'ë'": f"{AT}.holding_registers.3: 'ë' cannot be written in ascii",
    HOLDING + "3 = { value = 7, length = 2 }":
        f"{AT}.holding_registers.3: length is that of a text, and 7 is none",
    HOLDING + "3 = {}": f"{AT}.holding_registers.3.value: this key is required",
    HOLDING + "3 = { kind = 'waves' }":
        f"{AT}.holding_registers.3.kind: there is no kind of value 'waves'; did you mean 'wave'?",
    HOLDING + "3 = { kind = 'wave', low = 5, high = 2 }":
        f"{AT}.holding_registers.3: low is 5, which is more than high, 2",
    HOLDING + "3 = { kind = 'wave', low = -1 }":
        f"{AT}.holding_registers.3: -1 does not fit into u16, which holds 0 to 65535; i16 would hold it",
    HOLDING + "3 = { kind = 'walk', start = 7 }":
        f"{AT}.holding_registers.3: start is 7, which is not from low, 0, to high, 1",
    HOLDING + "3 = { kind = 'counter', reset_by = 1000 }":
        f"{AT}.holding_registers.3.reset_by: there is no holding register 1000; their table's size is 1000",
    HOLDING + "read_only = [{ first = 3, last = 1 }]":
        f"{AT}.holding_registers.read_only[0]: the last address, 1, comes before the first, 3",
    HOLDING + "forbidden = [{ last = 1 }]": f"{AT}.holding_registers.forbidden[0].first: this key is required",
}


class WrongTests(SynchronousTestCase):
    """What is refused, and in which words."""

    def faults(self, text: str) -> tuple[str, ...]:
        """Those of a TOML text."""
        faults: tuple[str, ...] = self.assertRaises(ConfigError, read, text).faults
        return faults

    def test_one_by_one(self) -> None:
        for text, sentence in WRONG.items():
            self.assertEqual(self.faults(text), (sentence,), text)

    def test_all_at_once(self) -> None:
        """One fault hides no other."""
        text = "seed = 'x'\n[buses.a]\nbaudrate = 0\n" + UNIT + "device_time = -1\n" + HOLDING + "1 = -1\n2 = -2\n"
        text += "[[buses.b.units.1.faults]]\nkind = 'x'\n[[buses.c.faults]]\nkind = 'junk'\nrate = 5"
        self.assertEqual(
            [fault.partition(":")[0] for fault in self.faults(text)],
            ["seed", "buses.a.baudrate", f"{AT}.device_time", f"{AT}.holding_registers.1",
             f"{AT}.holding_registers.2", f"{AT}.faults[0].kind", "buses.c.faults[0].rate"],
        )


class FileTests(SynchronousTestCase):
    """From a file."""

    def file(self, text: str) -> str:
        """One that holds this."""
        path = pathlib.Path(self.mktemp())
        path.write_text(text)
        return str(path)

    def test_good(self) -> None:
        self.assertEqual(list(settings_from_toml(self.file("[buses.b]")).buses), ["b"])

    def test_no_toml(self) -> None:
        error = self.assertRaises(ConfigError, settings_from_toml, self.file("[buses.b"))
        self.assertIn("this is not TOML", str(error))

    def test_not_there(self) -> None:
        error = self.assertRaises(ConfigError, settings_from_toml, "/nowhere.toml")
        self.assertEqual(str(error), "/nowhere.toml: cannot be read (No such file or directory)")


class ScaledTests(SynchronousTestCase):
    """Values told in their own unit of measure."""

    def test_wave(self) -> None:
        motion = 'kind = "wave", shape = "square", low = -5.5, high = 21.5, period = 10'
        text = f'0 = {{ {motion}, scale = 0.1, type = "i16" }}'
        self.assertEqual([holding(text, 1, now) for now in (1.0, 6.0)], [[215], [0x10000 - 55]])

    def test_offset(self) -> None:
        text = '0 = { kind = "ramp", start = -40, end = 60, seconds = 10, scale = 0.5, offset = -40 }'
        self.assertEqual([holding(text, 1, now) for now in (0.0, 5.0, 20.0)], [[0], [100], [200]])

    def test_constant(self) -> None:
        self.assertEqual(holding("0 = { value = [21.5, 0.3], scale = 0.1 }", 2), [215, 3])

    def test_counter_grows_in_steps_of_its_scale(self) -> None:
        text = '0 = { kind = "counter", rate = 0.25, start = 10, scale = 0.1 }'
        self.assertEqual([holding(text, 1, now) for now in (0.0, 2.0, 4.0)], [[100], [105], [110]])

    def test_counter_that_is_written(self) -> None:
        made = device(HOLDING + '0 = { kind = "counter", rate = 1, scale = 0.1 }')
        made.holding_registers.write(0, [55], 10.0)
        self.assertEqual(made.holding_registers.read(0, 1, 12.0), [75])

    def test_large_whole_numbers_are_exact(self) -> None:
        self.assertEqual(holding(f'0 = {{ value = {2**63 - 1}, type = "i64" }}', 4), [0x7FFF, 0xFFFF, 0xFFFF, 0xFFFF])

    def refused(self, text: str, sentence: str) -> None:
        faults = self.assertRaises(ConfigError, read, HOLDING + text).faults
        self.assertEqual(list(faults), [f"{AT}.holding_registers.0: {sentence}"])

    def test_what_the_registers_cannot_hold(self) -> None:
        self.refused(
            '0 = { kind = "wave", high = 6553.6, scale = 0.1 }',
            "6553.6 is 65536 in the registers: 65536 does not fit into u16, which holds 0 to 65535; u32 would hold it",
        )

    def test_no_number(self) -> None:
        self.refused(
            "0 = { value = inf, scale = 0.1 }", "inf is no whole number, as u16 needs; f32 and f64 hold fractions"
        )

    def test_scale_of_zero(self) -> None:
        self.refused("0 = { value = 1, scale = 0 }", "scale is 0, and nothing can be divided by that")


class BitsTests(SynchronousTestCase):
    """A register of which each bit is a value of its own."""

    SQUARE = '{ kind = "wave", shape = "square", period = 10 }'

    def test_bits(self) -> None:
        text = f'0 = {{ kind = "bits", bits = {{ 0 = true, 1 = 0, 0xF = {self.SQUARE} }} }}'
        self.assertEqual([holding(text, 1, now) for now in (1.0, 6.0)], [[0x8001], [0x0001]])

    def test_of_a_longer_one(self) -> None:
        text = f'0 = {{ kind = "bits", type = "u32", word_order = "little", bits = {{ 16 = {self.SQUARE} }} }}'
        self.assertEqual(holding(text, 2, 1.0), [0, 1])

    def test_random_ones_are_the_same_in_every_run(self) -> None:
        walk = '{ kind = "walk", step = 1 }'
        text = f'0 = {{ kind = "bits", bits = {{ 0 = {walk}, 1 = {walk}, 2 = {walk} }} }}'
        often = device(HOLDING + text).holding_registers
        for now in range(30):
            often.read(0, 1, float(now))
        self.assertEqual(often.read(0, 1, 30.0), holding(text, 1, 30.0))

    def refused(self, text: str, *sentences: str, where: str = HOLDING) -> None:
        faults = self.assertRaises(ConfigError, read, where + text).faults
        name = "coils" if where == COILS else "holding_registers"
        self.assertEqual(list(faults), [f"{AT}.{name}.0{one}" for one in sentences])

    def test_wrong_ones(self) -> None:
        self.refused('0 = { kind = "bits", bits = { 16 = true } }', ": u16 has no bit 16; write a longer type")
        self.refused(
            '0 = { kind = "bits", bits = { x = true } }',
            ".bits.x: expected the number of a bit from 0 to 63 as the key, got 'x'",
        )
        self.refused(
            '0 = { kind = "bits", bits = { 0 = 2 } }',
            ".bits.0: expected true or false, 1 or 0, or a list of them, got 2",
        )
        self.refused('0 = { kind = "bits", bits = { 0 = [1, 1] } }', ": bit 0 is one value, and there are several")
        self.refused(
            '0 = { kind = "bits", type = "f32", bits = { 0 = true } }',
            ": bits are those of u16, u32 or u64, without scale and offset",
        )
        self.refused('0 = { value = 3, bits = { 0 = true } }', '.bits: only kind = "bits" has them')
        self.refused('0 = { kind = "bits", bits = 3 }', ".bits: expected tables, got 3")
        self.refused('0 = { kind = "bits", bits = { 0 = true } }', ": a bit has no bits of its own", where=COILS)


class ProfileTests(SynchronousTestCase):
    """A unit of a known kind, and what is said beside that."""

    KNOWN: ClassVar = {
        "meter": SimulatedUnitSettings(
            identity=IdentitySettings(vendor_name="ACME", product_code="meter"),
            holding_registers=TableSettings(
                size=12, values={0: Constant(value=[1, 2, 3, 4]), 10: Constant(value=7), 11: Constant(value=8)}
            ),
            coils=TableSettings(size=0),
        )
    }

    def unit(self, text: str = "") -> SimulatedUnitSettings:
        data = tomllib.loads(f'{UNIT}profile = "meter"\n{text}')
        return simulation_settings(data, self.KNOWN).buses["b"].units[1]

    def test_as_it_is(self) -> None:
        self.assertEqual(self.unit(), attrs.evolve(self.KNOWN["meter"], profile="meter"))

    def test_what_is_said_replaces_what_lies_there(self) -> None:
        table = self.unit(HOLDING + "3 = 9\n10 = 70").holding_registers
        self.assertEqual(
            table.values, {3: Constant(value=9), 10: Constant(value=70), 11: Constant(value=8)},
            "of four registers that are one value none is left",
        )
        self.assertEqual(table.size, 12)

    def test_size(self) -> None:
        """What then lies beyond is not there."""
        self.assertEqual(list(self.unit(HOLDING + "size = 11").holding_registers.values), [0, 10])
        self.assertEqual(self.unit(HOLDING + "size = 100\n50 = 3").holding_registers.values[50], Constant(value=3))
        faults = self.assertRaises(ConfigError, self.unit, HOLDING + "12 = 3").faults
        self.assertEqual(
            list(faults), [f"{AT}.holding_registers.12: goes beyond the table's end; raise its size, which is 12"]
        )

    def test_identity(self) -> None:
        identity = self.unit('identity = { product_code = "mine" }').identity
        self.assertEqual((identity.vendor_name, identity.product_code), ("ACME", "mine"))

    def test_no_such_profile(self) -> None:
        data = tomllib.loads(f'{UNIT}profile = "metre"')
        for known, hint in ((self.KNOWN, "did you mean 'meter'?"), ({}, "there are none")):
            faults = self.assertRaises(ConfigError, simulation_settings, data, known).faults
            self.assertEqual(list(faults), [f"{AT}.profile: there is no profile 'metre'; {hint}"])

    def test_other_faults_beside_it(self) -> None:
        faults = self.assertRaises(ConfigError, self.unit, "identity = 3\nx = 1").faults
        self.assertEqual(len(faults), 2)
