"""What clients get when every seventh reply is spoilt, at three speeds."""

from __future__ import annotations

from benchmarks.length import BAUDRATES, Figures, Length, say
from benchmarks.rig import load_lines

FAULTS = {
    "late, just beyond the response timeout": ("--late-every", "7", "--late-ms", "110"),
    "late, twice the response timeout": ("--late-every", "7", "--late-ms", "200"),
    "with a wrong CRC": ("--crc-every", "7"),
    "cut off": ("--trunc-every", "7"),
    "behind noise": ("--garbage-every", "7"),
    "missing": ("--drop-every", "7"),
    "behind an echo (all replies)": ("--echo",),
}
"""What happens to a reply, and busim's options for it."""


def measure_faults(length: Length) -> Figures:
    """By fault and baudrate: a load of six connections on one unit. The response timeout is 0.1 s, callers wait 3 s."""
    found: Figures = {}
    for name, options in FAULTS.items():
        found[name] = {}
        for baudrate in BAUDRATES:
            got = load_lines(
                ("--baud", str(baudrate), "--turnaround-us", "1000", *options),
                f":baudrate={baudrate}:timeout=0.1", baudrate, "--conns", "6", "--count", "10", "--units", "1-1",
                "--timeout", "3", "--seconds", str(length.seconds),
            )
            say(f"  replies {name}, {baudrate} baud: {got['wrong']} wrong values, {got['errors']} errors,"
                f" {got['rps']:.1f} commands a second")
            found[name][str(baudrate)] = got
    return found
