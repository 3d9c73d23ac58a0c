"""The console against servers of all sorts; most of them are no Lumina server."""

from __future__ import annotations

import asyncio

from twisted.trial.unittest import SynchronousTestCase

from lumina_twisted.cli.peer import Peer
from lumina_twisted.framing.rtu import encode_adu
from tests.cli.case import run_main
from tests.cli.scripted_server import ScriptedServer, lumina
from tests.twistd_process import free_tcp_port


def console(server: ScriptedServer, typed: str, *more: str) -> tuple[int, str, str]:
    """Exit status, output and errors of a console whose lines come from a pipe."""
    return run_main("console", "127.0.0.1", str(server.tcp_port), *more, typed=typed)


class OtherServers(SynchronousTestCase):
    """Any server that answers lines, or chunks."""

    def test_the_original_echo(self) -> None:
        """It answers chunks without a newline."""
        with ScriptedServer(lambda chunk: b"Echo: " + chunk.rstrip(b"\n")) as server:
            self.assertEqual(console(server, "x\nhello you"), (0, "Echo: x\nEcho: hello you\n", ""))
        self.assertEqual(server.asked, [b"x\n", b"hello you\n"])

    def test_commands_are_lines_there(self) -> None:
        """``read`` may be a word of that server's own."""
        with ScriptedServer(lambda line: b"OK " + line + b"\n", by_line=True) as server:
            self.assertEqual(console(server, "read boiler\n"), (0, "OK read boiler\n", ""))

    def test_several_lines_are_shown(self) -> None:
        with ScriptedServer(lambda line: b"one\r\ntwo\n# three\n", by_line=True) as server:
            self.assertEqual(console(server, "list\n")[1], "one\ntwo\n# three\n")

    def test_what_comes_at_the_end(self) -> None:
        """A server that answers when it has heard all."""
        with ScriptedServer(lambda line: b"", by_line=True, farewell=b"sum 3") as server:
            status, out, err = console(server, "1\n", "--timeout", "0.1")
        self.assertEqual((status, out), (1, "sum 3\n"))
        self.assertEqual(err, "lumina: no answer to '1' within 0.1 s; give a longer --timeout\n")

    def test_the_server_leaves(self) -> None:
        with ScriptedServer(lambda line: None, by_line=True) as server:
            status, out, err = console(server, "x\n")
        self.assertEqual((status, out, err), (1, "", "lumina: the server has closed the connection\n"))

    def test_no_server(self) -> None:
        port = free_tcp_port()
        for words in (("127.0.0.1", str(port)), (f"127.0.0.1:{port}",), ("/nowhere/socket",)):
            status, out, err = run_main("console", *words)
            self.assertEqual((status, out), (1, ""))
            self.assertRegex(err, r"^lumina: no connection to .* \(.*\); is it running there\?\n$")

    def test_leaving(self) -> None:
        for word in ("bye", "QUIT", " exit "):
            with ScriptedServer(lambda line: line + b"\n", by_line=True) as server:
                self.assertEqual(console(server, f"a\n\n{word}\nb\n"), (0, "a\n", ""))
            self.assertEqual(server.asked, [b"a"])


class LuminaServers(SynchronousTestCase):
    """Lines that are commands, and lines that are sent."""

    def test_commands_and_lines(self) -> None:
        with lumina(lambda command: encode_adu(command.frame[0], b"\x03\x02\x00\x08")) as server:
            status, out, err = console(server, "read bus 1 holding 0\nx::bus::010300000001840A:7\nports\n")
        self.assertEqual((status, err), (0, ""))
        first, second, third = out.splitlines()
        self.assertEqual((first, third), ("0 8", "bus  /dev/bus  9600 8N1  open  0 waiting"))
        self.assertTrue(second.startswith("x:0103020008"), second)

    def test_worst_status(self) -> None:
        """From a pipe, the status tells whether all was done."""
        with lumina(lambda command: "exception 2 illegal data address") as server:
            for typed, status in (("ports\n", 0), ("read bus 1 holding 0\nports\n", 1), ("read bus\nports\n", 2)):
                self.assertEqual(console(server, typed)[0], status, typed)

    def test_help_of_a_command(self) -> None:
        with lumina(lambda command: b"") as server:
            status, out, err = console(server, "read --help\n")
        self.assertEqual((status, err), (0, ""))
        self.assertIn("usage: lumina read", out)

    def test_line_as_it_is(self) -> None:
        """``>`` before it takes its meaning away."""
        with ScriptedServer(lambda line: line + b"\n", by_line=True) as server:
            self.assertEqual(console(server, "> help\n>bye\n")[1], "help\nbye\n")


class WhatComes(SynchronousTestCase):
    """Pieces of lines."""

    def test_characters_in_pieces(self) -> None:
        shown: list[str] = []

        async def feed() -> None:
            peer = Peer(shown.append)
            for byte in "grün\n".encode():
                peer.data_received(bytes((byte,)))

        asyncio.run(feed())
        self.assertEqual(shown, ["grün"])
