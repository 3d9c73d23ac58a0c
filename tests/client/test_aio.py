"""The client for asyncio, with a real daemon and without one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.client.aio import CommandReply, LuminaModbusClient
from lumina_twisted.errors import (
    Cancelled,
    IllegalDataAddress,
    NotConnected,
    RequestError,
    ResponseTimeout,
    UnitOffline,
)
from tests.demo import shared_demo
from tests.twistd_process import environment, free_tcp_port


class AgainstTheDemo(SynchronousTestCase):
    """One daemon for all."""

    def setUp(self) -> None:
        self.twistd = shared_demo()

    def run_with(self, program: Callable[[LuminaModbusClient], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            async with LuminaModbusClient(port=self.twistd.tcp_port) as client:
                return await program(client)

        return asyncio.run(main())

    def test_as_the_mission_sends(self) -> None:
        """The mission's example, except for its imports, the port and the TCP port."""

        async def main() -> CommandReply:
            client = LuminaModbusClient(port=self.twistd.tcp_port)
            await client.connect()
            command_id = await client.send_command(
                name="read_holding",
                port="demo1",
                command=bytes.fromhex("020300000001"),
                baudrate=19200,
                response_length=7,
            )
            await client.close()
            return command_id

        reply = asyncio.run(main())
        self.assertEqual(reply.frame.hex(), "0203020008fd82")
        self.assertTrue(reply.command_id)

    def test_units(self) -> None:
        async def program(client: LuminaModbusClient) -> list[Any]:
            board = client.port("demo1").unit(2)
            await board.write_single_coil(3, True)
            await board.write_multiple_coils(4, [True, False])
            return [await board.read_coils(3, 3), await board.read_holding_registers(0),
                    (await client.port("demo2").unit(2).read_device_identification())[0]]

        self.assertEqual(self.run_with(program), [(True, True, False), (8,), b"Lumina"])

    def test_errors(self) -> None:
        async def program(client: LuminaModbusClient) -> list[type]:
            port = client.port("demo1", timeout=2, retries=0)
            calls = (
                lambda: port.unit(2).read_holding_registers(65535), lambda: port.unit(2).read_coils(0, 2001),
                lambda: port.unit(9).read_coils(0), lambda: client.port("x").unit(1).read_coils(0),
            )
            found = []
            for call in calls:
                try:
                    await call()
                except Exception as error:
                    found.append(type(error))
            return found

        found = self.run_with(program)
        self.assertIn(found.pop(2), (ResponseTimeout, UnitOffline), "others asked for that unit before")
        self.assertEqual(found, [IllegalDataAddress, RequestError, RequestError])

    def test_many_at_once_and_observers(self) -> None:
        async def program(client: LuminaModbusClient) -> tuple[int, int]:
            seen: list[object] = []
            client.subscribe(seen.append)
            board = client.port("demo1", timeout=30).unit(2)
            values = await asyncio.gather(*(board.read_holding_registers(0) for _ in range(200)))
            return values.count((8,)), len(seen)

        self.assertEqual(self.run_with(program), (200, 200))

    def test_cancelled(self) -> None:
        """The next command is not affected."""

        async def program(client: LuminaModbusClient) -> Any:
            board = client.port("demo1").unit(2)
            tasks = [asyncio.ensure_future(board.read_holding_registers(0)) for _ in range(5)]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return await board.read_holding_registers(0)

        self.assertEqual(self.run_with(program), (8,))

    def test_words(self) -> None:
        self.assertIn("demo1", self.run_with(lambda client: client.ask("ports"))[0])

    def test_a_word_that_nobody_answers(self) -> None:
        async def program(client: LuminaModbusClient) -> Any:
            client.timeout = 0.1
            client._session.receive_data = lambda data, now: None  # the server hears, and says nothing
            return await client.ask("ports")

        self.assertIn("did not answer 'ports'", str(self.assertRaises(NotConnected, self.run_with, program)))

    def test_closed_while_it_waits(self) -> None:
        async def program(client: LuminaModbusClient) -> Any:
            task = asyncio.ensure_future(client.port("demo1").unit(9).read_coils(0))
            await asyncio.sleep(0.01)
            await client.close()
            return (await asyncio.gather(task, return_exceptions=True))[0]

        self.assertIsInstance(self.run_with(program), Cancelled)


class Alone(SynchronousTestCase):
    """Without a server."""

    def test_nobody_there(self) -> None:
        async def main() -> None:
            async with LuminaModbusClient(port=free_tcp_port()):
                pass

        error = self.assertRaises(NotConnected, asyncio.run, main())
        self.assertIn("is Lumina running there", str(error))

    def test_command_that_waits_for_a_server(self) -> None:
        async def main() -> None:
            client = LuminaModbusClient(port=free_tcp_port())
            try:
                await client.port("p", timeout=0.2).unit(1).read_coils(0)
            finally:
                await client.close()

        self.assertIn("no connection to", str(self.assertRaises(NotConnected, asyncio.run, main())))

    def test_another_event_loop(self) -> None:
        """Each asyncio.run() has its own loop. A future of the first loop would never end in the second."""
        client = LuminaModbusClient(port=free_tcp_port())

        async def read() -> None:
            await client.port("p", timeout=0.1).unit(1).read_coils(0)

        async def connect() -> None:
            async with client:
                pass

        self.assertRaises(NotConnected, asyncio.run, read())
        for again in (read, connect):
            self.assertIn("another event loop", str(self.assertRaises(RequestError, asyncio.run, again())))
        asyncio.run(client.close())

    def test_a_name_that_cannot_be_looked_up(self) -> None:
        """Python raises another kind of error than for an unknown name."""

        async def main() -> None:
            async with asyncio.timeout(5):
                await LuminaModbusClient("\N{SNOWMAN}" * 60).connect()

        self.assertIn("no connection to", str(self.assertRaises(NotConnected, asyncio.run, main())))

    def test_it_does_without_twisted(self) -> None:
        """Importing Twisted takes time that a short program on a small machine does not have."""
        code = "import sys, lumina_twisted.client.aio; sys.exit(any(one.startswith('twisted.') for one in sys.modules))"
        self.assertEqual(subprocess.run([sys.executable, "-c", code], env=environment(), check=False).returncode, 0)
