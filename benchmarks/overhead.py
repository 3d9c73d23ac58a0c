"""Commands a second, and processor time for each, when the wire takes no time; beside the gateway on pymodbus."""

from __future__ import annotations

from benchmarks.length import LOAD, Figures, Length, say
from benchmarks.peer import load_peer
from benchmarks.rig import load_lines, load_modbus_tcp

BUS = ("--baud", "0")


def measure_overhead(length: Length) -> Figures:
    """Rounds in turns, so that a busy moment of the machine spoils both: a list, each of ``lumina`` in lines, of
    ``modbus_tcp`` through it, ``unshared`` of that with sharing off, and of the ``peer``, which speaks that too."""
    rounds = []
    load = (*LOAD, "--seconds", str(length.seconds / 2))
    for number in range(1, length.rounds + 1):
        ours = load_lines(BUS, ":baudrate=115200:frame_gap=0", 115200, *load)
        over_tcp = load_modbus_tcp(BUS, ":baudrate=115200:frame_gap=0", *load)
        unshared = load_modbus_tcp(BUS, ":baudrate=115200:frame_gap=0:share=false", *load)
        theirs = load_peer(BUS, 115200, *load)
        say(f"  round {number}: {ours['rps']:.0f} commands a second in lines, {ours['cpu_us']:.0f} µs each;"
            f" over Modbus TCP {over_tcp['rps']:.0f} and {over_tcp['cpu_us']:.0f} µs, unshared {unshared['rps']:.0f};"
            f" the gateway on pymodbus {theirs['rps']:.0f} and {theirs['cpu_us']:.0f} µs")
        rounds.append({"lumina": ours, "modbus_tcp": over_tcp, "unshared": unshared, "peer": theirs})
    return {"rounds": rounds}
