"""A gateway that resets its connection every 50 ms: what of the reads is answered, whether a write goes twice, whether
memory and log stay small. ``python -m benchmarks.resets --seconds 600`` prints a table."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from collections import Counter

from benchmarks.rig import Lumina, free_port
from lumina_twisted.client.aio import ModbusTcpClient
from lumina_twisted.errors import LuminaError, OutcomeUnknown
from lumina_twisted.framing.mbap import Adu, MbapDecoder, encode_adu

READERS, WRITER_UNIT, ANSWERS_AFTER = 4, 99, 0.003


class Gateway:
    """Registers hold their own addresses; what is written is kept."""

    def __init__(self) -> None:
        self.connections = 0
        self.written: Counter[int] = Counter()
        self._open: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        self._open.add(writer)
        decoder = MbapDecoder()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(4096):
                for adu in decoder.receive(data):
                    await asyncio.sleep(ANSWERS_AFTER)
                    writer.write(encode_adu(adu.transaction_id, adu.unit, self._answer(adu)))
        self._open.discard(writer)
        writer.close()

    def _answer(self, adu: Adu) -> bytes:
        if adu.pdu[0] == 3:
            return b"\x03\x02" + adu.pdu[1:3]
        self.written[int.from_bytes(adu.pdu[1:5], "big")] += 1
        return adu.pdu

    async def reset(self, every: float) -> None:
        """Cuts what is connected, again and again."""
        while True:
            await asyncio.sleep(every)
            for writer in list(self._open):
                writer.transport.abort()


async def read(client: ModbusTcpClient, unit: int, ends: float, seen: Counter[str]) -> None:
    """One register after the other."""
    address = 0
    while time.monotonic() < ends:
        address = (address + 1) % 60_000
        try:
            came = await client.unit(unit).read_holding_registers(address, 1)
            seen["reads answered" if list(came) == [address] else "WRONG VALUES"] += 1
        except LuminaError as error:
            seen[f"reads that ended as {type(error).__name__}"] += 1


async def write(client: ModbusTcpClient, gateway: Gateway, ends: float, seen: Counter[str]) -> None:
    """A number of its own each time, as address and value, so that the gateway knows it again."""
    number = 0
    while time.monotonic() < ends:
        number += 1
        try:
            await client.unit(WRITER_UNIT).write_single_register(number >> 16, number & 0xFFFF)
            seen["writes confirmed" if gateway.written[number] else "FALSE CONFIRMATIONS"] += 1
        except OutcomeUnknown:
            seen["writes with an unknown outcome"] += 1
        except LuminaError as error:
            seen[f"writes that ended as {type(error).__name__}"] += 1


async def measure(seconds: float, every: float) -> None:
    """Runs it, and prints what came of it."""
    gateway, seen, tcp_port = Gateway(), Counter[str](), free_port()
    server = await asyncio.start_server(gateway.serve, "127.0.0.1", tcp_port)
    daemon = await asyncio.to_thread(Lumina, f"modbus+tcp:127.0.0.1:{tcp_port}")
    clients = [ModbusTcpClient("127.0.0.1", daemon.modbus_port) for _ in range(READERS + 1)]
    resetting, ends = asyncio.create_task(gateway.reset(every)), time.monotonic() + seconds
    readers = [read(one, unit + 1, ends, seen) for unit, one in enumerate(clients[1:])]
    working = asyncio.gather(write(clients[0], gateway, ends, seen), *readers)
    await asyncio.sleep(min(60.0, seconds / 2))  # until all caches are full
    before = daemon.memory()
    await working
    resetting.cancel()
    grown, after = daemon.memory() - before, daemon.memory()
    for one in clients:
        await one.close()
    server.close()
    _, log = await asyncio.to_thread(daemon.stop)
    seen["writes carried out twice"] = sum(count > 1 for count in gateway.written.values())
    seen.update({"connections": gateway.connections, "log lines": len(log.splitlines()), "memory, MB": after >> 20})
    for what, count in sorted(seen.items()):
        print(f"| {what} | {count:,} |")
    print(f"| memory grown, MB | {grown / 1e6:.1f} |")


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--seconds", type=float, default=600.0)
    words.add_argument("--every", type=float, default=0.05, help="seconds between two resets")
    given = words.parse_args()
    asyncio.run(measure(given.seconds, given.every))
