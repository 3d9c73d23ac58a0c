"""How much of the wire's time is used, at three speeds, beside the gateway on pymodbus."""

from __future__ import annotations

from benchmarks.length import BAUDRATES, LOAD, Figures, Length, say
from benchmarks.peer import load_peer
from benchmarks.rig import load_lines, load_modbus_tcp


def measure_wire(length: Length) -> Figures:
    """By baudrate: a load in lines through ``lumina``, one over ``modbus_tcp`` through it, and one through its
    ``peer``. A device takes 1 ms to answer."""
    found: Figures = {}
    for baudrate in BAUDRATES:
        bus = ("--baud", str(baudrate), "--turnaround-us", "1000")
        load = (*LOAD, "--seconds", str(length.seconds))
        ours = load_lines(bus, f":baudrate={baudrate}", baudrate, *load)
        over_tcp = load_modbus_tcp(bus, f":baudrate={baudrate}", *load)
        theirs = load_peer(bus, baudrate, *load)
        say(f"  {baudrate} baud: {ours['bus']['utilisation']:.3f} of the wire in lines,"
            f" {over_tcp['bus']['utilisation']:.3f} over Modbus TCP, {ours['bus']['early']} early frames;"
            f" the gateway on pymodbus {theirs['bus']['early']} of {theirs['bus']['answered']}")
        found[str(baudrate)] = {"lumina": ours, "modbus_tcp": over_tcp, "peer": theirs}
    return found
