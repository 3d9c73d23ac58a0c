"""How many reads a second a crowd gets out of 9600 baud: of one block that all want, and of neighbouring registers."""

from __future__ import annotations

from functools import partial

from benchmarks import ideal
from benchmarks.attempt import attempted, found
from benchmarks.length import Figures, Length, say
from benchmarks.peer import load_peer
from benchmarks.rig import load_modbus_tcp

MERGE = True
"""Whether units have the setting ``merge``; then neighbouring registers are measured with it and without."""

BAUDRATE = 9600
CLIENTS = (1, 10, 50, 200)
REGISTERS = {"same": 10, "neighbours": 1}
"""Registers of a read, by what the clients ask for: all the same block, or each a register beside the next one's."""
LOADS = {"same": ("--mode", "same"), "neighbours": ("--mode", "own", "--stride", "1")}
WAYS = {
    "same": {"shared": "", "unshared": ":share=false"},
    "neighbours": {"merged": ":units.1.merge=true", "shared": ""} if MERGE else {"shared": ""},
}
"""The settings with which Lumina is asked. Nothing of neighbouring registers is shared unless it is merged."""
PATIENT = ",timeout=60"
"""Of the listener: two hundred clients wait ten seconds for a turn where nothing is shared."""


def measure_sharing(length: Length) -> Figures:
    """By ``same`` and ``neighbours``, by clients, by way or ``peer``: a load over Modbus TCP on one unit; and with them
    ``alone``, the reads a second that the wire carries at best if each is a transaction."""
    return {blocks: measure_blocks(blocks, length) for blocks in LOADS}


def measure_blocks(blocks: str, length: Length) -> Figures:
    """One of the two kinds."""
    registers = REGISTERS[blocks]
    by_clients = {}
    for clients in CLIENTS:
        load = (*LOADS[blocks], "--units", "1-1", "--count", str(registers), "--conns", str(clients),
                "--seconds", str(length.seconds))
        by_clients[str(clients)] = measure_crowd(f"{blocks}, {clients} clients", blocks, load)
    return {"alone": 1 / ideal.read(BAUDRATE, registers), "registers": registers, "clients": by_clients}


def measure_crowd(what: str, blocks: str, load: tuple[str, ...]) -> Figures:
    """So many clients, in all ways and through the peer."""
    bus = ("--baud", str(BAUDRATE), *ideal.TURNAROUND)
    ours = {
        way: partial(load_modbus_tcp, bus, f":baudrate={BAUDRATE}{options}", *load, listener=PATIENT)
        for way, options in WAYS[blocks].items()
    }
    everyone = {**ours, "peer": partial(load_peer, bus, BAUDRATE, *load)}
    got = {who: attempted(f"{what}, {who}", measure) for who, measure in everyone.items()}
    rates = (f"{who} {one['rps']:.0f}" for who, one in got.items() if found(one))
    say(f"  {what}: reads a second {', '.join(rates)}")
    return got
