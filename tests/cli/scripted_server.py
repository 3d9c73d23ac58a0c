"""A server on a real socket that answers as the test tells it, in a thread of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from lumina_twisted.lineproto import Command, format_error, format_reply, parse_command

STAMP = 1_700_000_000.0


class ScriptedServer:
    """Listens from the beginning to the end of ``with``.

    :param answer: what is answered to what came: bytes, or None to close the connection.
    :param by_line: whether it gets line by line, without their ends; else chunks as they come.
    :param farewell: said after the client has ended its side.
    """

    def __init__(
        self, answer: Callable[[bytes], bytes | None], *, by_line: bool = False, farewell: bytes = b""
    ) -> None:
        self.asked: list[bytes] = []
        self._answer = answer
        self._by_line = by_line
        self._farewell = farewell
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.tcp_port: int = self._listener.getsockname()[1]

    @property
    def place(self) -> str:
        """As ``--server`` wants it."""
        return f"127.0.0.1:{self.tcp_port}"

    def __enter__(self) -> ScriptedServer:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb", buffering=-1 if self._by_line else 0) as file:
            read = file.readline if self._by_line else lambda: connection.recv(4096)
            while data := read():
                data = data.rstrip(b"\n") if self._by_line else data
                self.asked.append(data)
                answer = self._answer(data)
                if answer is None:
                    return
                connection.sendall(answer)
            connection.sendall(self._farewell)


def lumina(answer: Callable[[Command], bytes | str], *, stats: Callable[[], str] = str) -> ScriptedServer:
    """A server that speaks Lumina's lines.

    :param answer: to a command: the reply's frame, or a reason why there is none.
    :param stats: the line it tells of its port, which is ``bus``.
    """

    def one(line: bytes) -> bytes:
        if line == b"help":
            return b"# id:device type:port:baudrate\n#\n"
        if line == b"ports":
            return b"# bus  /dev/bus  9600 8N1  open  0 waiting\n#\n"
        if line == b"stats":
            return f"# listener  clients 1\n# {stats()}\n#\n".encode()
        command = parse_command(line)
        said = answer(command)
        if isinstance(said, str):
            return format_error(command.command_id, said, STAMP)
        return format_reply(command.command_id, said, STAMP)

    return ScriptedServer(one, by_line=True)
