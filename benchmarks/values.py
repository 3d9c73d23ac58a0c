"""2,000 points of 100 devices on four ports of 115200 baud, each read once a second, and a client on each port.

The client reads a device's registers again and again, as fast as it is answered; what it waits says whether the poller
is in its way. How old the readings are is asked of the front of values, all points at a time, once a second; and the
same while nobody else asks.
"""

from __future__ import annotations

import json
import pathlib
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from benchmarks import ideal
from benchmarks.arrival import measure_arrival
from benchmarks.attempt import attempted, found
from benchmarks.background import background
from benchmarks.build import CannotMeasure
from benchmarks.length import Figures, Length, say
from benchmarks.rig import Busim, Lumina, free_port, wait_for

BAUDRATE, PORTS, DEVICES, POINTS = 115200, 4, 25, 20
"""Devices of each port, and points of each device."""
REGISTERS = POINTS
"""That a client reads at a time: as many as the poller."""
WARM_UP = 6.0
"""Seconds until every point was read and is read in its turn."""
LOOK_EVERY = 1.0
"""Seconds; to tell 2,000 values takes some 10 ms, for which nothing else is done."""


def measure_values(length: Length) -> Figures:
    """``poller`` while nobody else asks, ``clients`` while nobody polls but a client of each port reads, ``both``;
    ``arrival`` is how long a change takes to come to a watcher, ``transaction_ms`` what a client's read takes on the
    wire at best."""
    told: Figures = {
        "points": PORTS * DEVICES * POINTS, "devices": PORTS * DEVICES, "ports": PORTS,
        "transaction_ms": 1000 * ideal.read(BAUDRATE, REGISTERS),
    }
    for name in ("poller", "clients", "both"):
        told[name] = one = attempted(f"values, {name}", partial(measured, length, name))
        if found(one):
            age = f" oldest value {one['oldest']:.2f} s;" if "oldest" in one else ""
            wait = f" p99 of a read {one['p99_ms']:.1f} ms;" if "p99_ms" in one else ""
            say(f"  {name}:{age}{wait} the poller takes {one['share']:.1%} of a wire")
    told["arrival"] = attempted("arrival of a change", partial(measure_arrival, length))
    return told


def measured(length: Length, who: str) -> Figures:
    """Such a plant, of which ``who`` asks."""
    seconds = max(10.0, 4 * length.seconds)
    with ExitStack() as ends:
        units = ("--first-unit", "1", "--last-unit", str(DEVICES))
        bus = Busim("--baud", str(BAUDRATE), *units, *ideal.TURNAROUND, ports=PORTS)
        ends.callback(bus.stop)
        values, tcp_ports = free_port(), [free_port() for _ in bus.paths]
        folder = pathlib.Path(ends.enter_context(tempfile.TemporaryDirectory()))
        (folder / "plant.toml").write_text("\n".join(plant(bus.paths, tcp_ports, who != "clients")))
        words = ("--config", str(folder / "plant.toml"), "--listen", f"values=tcp:{values}:interface=127.0.0.1")
        daemon = Lumina(bus.path, f":baudrate={BAUDRATE}", more=words)
        ends.callback(daemon.stop)
        wait_for(values)
        time.sleep(WARM_UP)
        bus.reset()
        cpu, used, began = daemon.cpu_seconds(), polled(daemon.tcp_port), time.monotonic()
        report: Figures = {}
        if who == "poller":
            report = ages(values, seconds)
        else:
            targets = [word for at, port in enumerate(tcp_ports) for word in ("--target", f"127.0.0.1:{port}@{at}")]
            load = (*targets, "--conns", str(PORTS), "--count", str(REGISTERS), "--units", f"1-{DEVICES}")
            with background(seconds, *load) as reading:
                report = ages(values, seconds) if who == "both" else {}
                report |= reading.figures()
        elapsed = time.monotonic() - began
        after = polled(daemon.tcp_port)
        return {
            **report, "cores": (daemon.cpu_seconds() - cpu) / elapsed,
            "share": max([after[name] - used[name] for name in used], default=0.0) / elapsed,
            "early": sum(one["early"] for one in bus.reports()), "memory": daemon.memory(),
        }


def ages(tcp_port: int, seconds: float) -> Figures:
    """The age of the ``oldest`` reading at any look, and how many ``looks`` there were."""
    seen = list(oldest(tcp_port, seconds))
    return {"oldest": max(seen), "looks": len(seen)}


def plant(paths: list[str], tcp_ports: list[int], is_polled: bool) -> Iterator[str]:
    """The configuration: all ports but the first, which has its own option, the listeners and the devices."""
    names = ["bus", *(f"p{number}" for number in range(1, len(paths)))]
    for name, path in list(zip(names, paths, strict=True))[1:]:
        yield f'[ports.{name}]\npath = "{path}"\nbaudrate = {BAUDRATE}'
    for name, tcp_port in zip(names, tcp_ports, strict=True):
        yield f'[[listen]]\nprotocol = "modbus-tcp"\nport = "{name}"\nendpoint = "tcp:{tcp_port}:interface=127.0.0.1"'
    yield f'[values]\ndatabase = "values.db"\npoll_share = {0.5 if is_polled else 0.0}'
    yield "[profiles.block]\npoll = 1.0"
    for point in range(POINTS):
        yield f'[profiles.block.points.p{point}]\ntable = "holding"\naddress = {point}'
    for name in names:
        for unit in range(1, DEVICES + 1):
            yield f'[devices.{name}-{unit}]\nport = "{name}"\nunit = {unit}\nprofile = "block"'


def oldest(tcp_port: int, seconds: float) -> Iterator[float]:
    """Once a second, how many seconds ago the device was asked for the oldest of all readings.

    :raises CannotMeasure: one is not good.
    """
    with socket.create_connection(("127.0.0.1", tcp_port), 10) as client, client.makefile("rw") as lines:
        lines.write("format json\n")
        lines.flush()
        lines.readline()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.monotonic()
            lines.write("read *\n")
            lines.flush()
            readings = json.loads(lines.readline())["values"]
            bad = [one for one in readings if one.get("quality") != "good"]
            if bad or len(readings) != PORTS * DEVICES * POINTS:
                raise CannotMeasure(f"{len(readings)} readings, {len(bad)} of them not good, as {bad[:1]}")
            yield time.time() - min(one["time"] for one in readings)
            time.sleep(max(0.0, began + LOOK_EVERY - time.monotonic()))


def polled(tcp_port: int) -> dict[str, float]:
    """Seconds for which the poller has held each bus, by port."""
    with socket.create_connection(("127.0.0.1", tcp_port), 10) as client, client.makefile("rw") as lines:
        lines.write("stats json\n")
        lines.flush()
        rows = []
        while (line := lines.readline().strip()) != "#":
            rows.append(json.loads(line.removeprefix("# ")))
    mine = [row for row in rows if row["what"] == "client" and row["client"] == "the poller"]
    return {row["port"]: row["wire_seconds"] for row in mine}
