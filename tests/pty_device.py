"""A scripted device on a real pseudo-terminal, for tests of the ports: it can vanish and return under its path."""

from __future__ import annotations

import os
import pathlib
import termios
import tty
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

from lumina_twisted.modbus.lengths import request_length
from lumina_twisted.modbus.rtu import Decoder
from tests.bus.world import reply_to

SPEEDS = {termios.B4800: 4800, termios.B9600: 9600, termios.B19200: 19200, termios.B115200: 115200}


@implementer(IReadDescriptor)
class PtyDevice:
    """Answers each request frame with what ``respond`` says, at once, and notes each with the speed it came at.

    :param path: a link of this name leads to the pseudo-terminal while it is plugged in.
    :param respond: the bytes to send back, perhaps in several pieces.
    """

    def __init__(
        self, reactor: Any, path: pathlib.Path, respond: Callable[[bytes], list[bytes]] = lambda frame: [reply_to(frame)]
    ) -> None:
        self.path = path
        self.respond = respond
        self.frames: list[tuple[bytes, int]] = []
        self._reactor = reactor
        self._decoder = Decoder(request_length)
        self._master = self._slave = -1  # held open, so that closing the port is no hang-up to us
        self.plug()

    def plug(self) -> None:
        """The adapter appears under its path."""
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.symlink(os.ttyname(self._slave), self.path)
        os.set_blocking(self._master, False)
        self._reactor.addReader(self)

    def unplug(self) -> None:
        """It vanishes; who has it open sees a hang-up."""
        if self._master >= 0:
            self._reactor.removeReader(self)
            os.close(self._master)
            os.close(self._slave)
            self._master = -1
            self.path.unlink()

    def send(self, data: bytes) -> None:
        """Bytes on the wire, unasked."""
        os.write(self._master, data)

    def fileno(self) -> int:
        """The master side."""
        return self._master

    def doRead(self) -> None:
        """Bytes came."""
        self._decoder.receive(os.read(self._master, 4096))
        while found := self._decoder.next_frame(()):
            self.frames.append((found.frame, SPEEDS[termios.tcgetattr(self._master)[5]]))
            for piece in self.respond(found.frame):
                os.write(self._master, piece)

    def connectionLost(self, reason: object) -> None:
        """See :class:`twisted.internet.interfaces.IReadDescriptor`."""

    def logPrefix(self) -> str:
        """See :class:`twisted.internet.interfaces.ILoggingContext`."""
        return "pty device"
