"""All figures of the README, made by one command: ``make bench`` (or ``python -m benchmarks.run [seconds]``).

Machines are shared and noisy: compare figures of one run only.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import time

from benchmarks.rig import HERE, Busim, Lumina, free_port, load_lines, mbload, wait_for

FAULTS = {
    "replies late, just beyond the response timeout": ("--late-every", "7", "--late-ms", "110"),
    "replies late, twice the response timeout": ("--late-every", "7", "--late-ms", "200"),
    "wrong CRC": ("--crc-every", "7"),
    "cut off": ("--trunc-every", "7"),
    "noise before the reply": ("--garbage-every", "7"),
    "no reply": ("--drop-every", "7"),
    "the adapter echoes": ("--echo",),
}


def wire(seconds: str) -> None:
    """How much of the wire's time is used."""
    print("## Wire utilisation: 10 connections, 10 registers each, 1 ms device time\n")
    print("| baud | utilisation | early frames | collisions | wrong values | sent more than answered |")
    print("|---|---|---|---|---|---|")
    for baudrate in (9600, 19200, 115200):
        found = load_lines(
            ("--baud", str(baudrate), "--turnaround-us", "1000"), f":baudrate={baudrate}", baudrate,
            "--conns", "10", "--count", "10", "--seconds", seconds,
        )
        bus = found["bus"]
        print(f"| {baudrate} | {bus['utilisation']:.3f} | {bus['early']} | {bus['collision']} | {found['wrong']} |"
              f" {bus['answered'] - found['ok']} |", flush=True)


def faults(seconds: str) -> None:
    """What a client gets when every seventh reply is spoilt."""
    print("\n## Every seventh reply spoilt: 6 connections on one unit, response timeout 0.1 s, callers wait 3 s\n")
    print("| fault | baud | wrong values | answered to callers / by the device | a second |")
    print("|---|---|---|---|---|")
    for name, options in FAULTS.items():
        for baudrate in (9600, 19200, 115200):
            found = load_lines(
                ("--baud", str(baudrate), "--turnaround-us", "1000", *options),
                f":baudrate={baudrate}:timeout=0.1", baudrate, "--conns", "6", "--count", "10", "--units", "1-1",
                "--timeout", "3", "--seconds", seconds,
            )
            share = found["ok"] / max(found["bus"]["answered"], 1)
            print(f"| {name} | {baudrate} | {found['wrong']} | {share:.2f} | {found['rps']:.1f} |", flush=True)


def overhead(seconds: str) -> None:
    """Commands a second when the wire takes no time, beside a gateway on pymodbus in the same run."""
    print("\n## No wire time: 10 connections, 10 registers, rounds alternate\n")
    print("| round | Lumina, commands a second | CPU a command | pymodbus gateway, requests a second | ratio |")
    print("|---|---|---|---|---|")
    for number in (1, 2, 3):
        ours = load_lines(
            ("--baud", "0"), ":baudrate=115200:frame_gap=0", 115200, "--conns", "10", "--count", "10",
            "--seconds", seconds,
        )
        theirs = peer(seconds)
        print(f"| {number} | {ours['rps']:.0f} | {ours['cpu_us']:.0f} us | {theirs:.0f} | {ours['rps'] / theirs:.2f} |",
              flush=True)


def peer(seconds: str) -> float:
    """Requests a second of the gateway on pymodbus."""
    bus, tcp_port = Busim("--baud", "0"), free_port()
    gateway = subprocess.Popen(
        [sys.executable, str(HERE / "pymodbus_gateway.py"), bus.path, "115200", "1", str(tcp_port)],
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(tcp_port)
        rate = mbload("--target", f"127.0.0.1:{tcp_port}@0", "--conns", "10", "--count", "10", "--seconds", seconds)
        return float(rate["rps"])
    finally:
        gateway.kill()
        gateway.wait()
        bus.stop()


def crowd() -> None:
    """Memory of a thousand clients, of whom fifty talk, under a soft limit of 1,024 open files."""
    print("\n## A thousand clients, fifty talking, soft limit of 1,024 open files\n")
    bus = Busim("--baud", "0")
    limit = ("bash", "-c", 'ulimit -Sn 1024; exec "$@"', "bash")
    daemon = Lumina(bus.path, ":baudrate=115200:frame_gap=0", before=limit)
    idle = daemon.memory()
    options = ("--line", f"127.0.0.1:{daemon.tcp_port}", "--serial", "bus@0", "--baud", "115200", "--count", "10")
    silent = subprocess.Popen(
        [str(HERE / "bin" / "mbload"), *options, "--conns", "950", "--poll-ms", "3600000", "--seconds", "12"],
        stdout=subprocess.DEVNULL,
    )
    time.sleep(2)
    found = mbload(*options, "--conns", "50", "--seconds", "6")
    each = (daemon.memory() - idle) / 1000
    silent.wait()
    daemon.stop()
    bus.stop()
    print(f"errors {found['errors']}, closed {found['closed']}, wrong {found['wrong']}, {found['rps']:.0f} a second;"
          f" {each / 1024:.1f} KiB a client over {idle / 2**20:.0f} MiB")


def main() -> None:
    """Everything, as Markdown."""
    seconds = sys.argv[1] if len(sys.argv) > 1 else "20"
    model = next(
        (line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")), "unknown processor",
    )
    print(f"# Lumina's figures\n\nPython {sys.version.split()[0]}, {model}, {time.strftime('%Y-%m-%d')}\n")
    wire(seconds)
    faults(seconds)
    overhead(seconds)
    crowd()


if __name__ == "__main__":
    main()
