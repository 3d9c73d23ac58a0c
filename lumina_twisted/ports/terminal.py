"""A pseudo-terminal under a path, floor 2: another program opens it like a serial device."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
import termios
import tty
from typing import Final

_NAMES: Final = [name for name in dir(termios) if name[0] == "B" and name[1:].isdigit()]
_SPEEDS: Final = {getattr(termios, name): int(name[1:]) for name in _NAMES}
"""The speed in baud of each termios speed constant."""
_PTS: Final = "/dev/pts/"
_LOCAL_MODES: Final = 3
"""The index of the local modes in the result of :func:`termios.tcgetattr`."""


class Terminal:
    """A pseudo-terminal: Lumina holds the master, and a program opens the slave.

    :param path: a symbolic link with this path leads to the terminal while it is plugged in.
    :param mode: who may open the terminal, as for :func:`os.chmod`; None for its owner.
    :param group: the number of the terminal's group; None for the system's choice.
    """

    def __init__(self, path: str, mode: int | None = None, group: int | None = None) -> None:
        self.path = path
        self._mode = mode
        self._group = group
        self._master = self._slave = -1

    @property
    def is_plugged(self) -> bool:
        """Whether the terminal exists."""
        return self._master >= 0

    def plug(self) -> None:
        """Makes the terminal appear under its path.

        A link that a killed process left behind is replaced.

        :raises OSError: if something else has that path, or the terminal cannot be made.
        """
        self._master, self._slave = os.openpty()  # the slave stays open: without a program the master sees no hang-up
        try:
            tty.setraw(self._slave)
            os.set_blocking(self._master, False)
            self._give_away(os.ttyname(self._slave))
            if self._is_left_over():
                os.unlink(self.path)
            os.symlink(os.ttyname(self._slave), self.path)
        except OSError:
            self._close()
            raise

    def replug(self) -> bool:
        """Makes the link again, if somebody has removed it.

        :return: whether it was missing.
        :raises OSError: if something else has that path now, or the link cannot be made.
        """
        name = os.ttyname(self._slave)
        try:
            if os.readlink(self.path) == name:
                return False
        except FileNotFoundError:
            pass
        except OSError as error:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), self.path) from error
        os.symlink(name, self.path)
        return True

    def unplug(self) -> None:
        """Removes the terminal; a program that has it open sees a hang-up."""
        with contextlib.suppress(OSError):  # somebody has removed the link
            if os.readlink(self.path) == os.ttyname(self._slave):
                os.unlink(self.path)
        self._close()

    def fileno(self) -> int:
        """The descriptor of the master, which Lumina reads and writes."""
        return self._master

    @property
    def speed(self) -> int:
        """The speed that the terminal is set to, in baud; 0 for a speed without a termios constant."""
        return _SPEEDS.get(termios.tcgetattr(self._master)[5], 0)

    def read(self) -> bytes:
        """Reads the bytes that the program has sent."""
        return os.read(self._master, 4096)

    def write(self, data: bytes) -> None:
        """Sends bytes to the program."""
        with contextlib.suppress(BlockingIOError):  # nobody reads: the bytes are lost, as on a wire
            os.write(self._master, data)

    @property
    def unread(self) -> int:
        """How many bytes the program has not read yet."""
        return int.from_bytes(fcntl.ioctl(self._slave, termios.FIONREAD, b"\0\0\0\0"), sys.byteorder)

    def forget_unread(self) -> None:
        """Discards the bytes that the program has not read."""
        termios.tcflush(self._slave, termios.TCIFLUSH)

    def stop_echo(self) -> None:
        """Turns echo off, which a program may have left on: the terminal would send back all that it receives."""
        if termios.tcgetattr(self._slave)[_LOCAL_MODES] & termios.ECHO:
            tty.setraw(self._slave, termios.TCSANOW)

    def _give_away(self, name: str) -> None:
        if self._group is not None:
            os.chown(name, -1, self._group)
        if self._mode is not None:
            os.chmod(name, self._mode)

    def _is_left_over(self) -> bool:
        """Whether the path is a link that an ended process left. Such a link leads nowhere, or to a terminal younger
        than itself, which the system made later under the same number."""
        if not os.path.islink(self.path):
            return False
        if not os.path.exists(self.path):
            return True
        there = os.readlink(self.path)
        return there.startswith(_PTS) and os.lstat(self.path).st_mtime < os.stat(there).st_ctime

    def _close(self) -> None:
        os.close(self._master)
        os.close(self._slave)
        self._master = self._slave = -1
