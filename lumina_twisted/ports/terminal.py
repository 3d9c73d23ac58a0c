"""A pseudo-terminal under a path, floor 2: what a program that opens a serial device finds there."""

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
"""What each of the terminal's speed constants means, in baud."""
_PTS: Final = "/dev/pts/"
_LOCAL_MODES: Final = 3
"""Where :func:`termios.tcgetattr` has them."""


class Terminal:
    """A pair of ends, of which a program opens one.

    :param path: a link of this name leads to it while it is plugged in.
    :param mode: who may open it, as :func:`os.chmod` has it; None for its owner.
    :param group: the group it belongs to, as a number; None for the system's own choice.
    """

    def __init__(self, path: str, mode: int | None = None, group: int | None = None) -> None:
        self.path = path
        self._mode = mode
        self._group = group
        self._master = self._slave = -1

    @property
    def is_plugged(self) -> bool:
        """Whether it is there."""
        return self._master >= 0

    def plug(self) -> None:
        """It appears under its path.

        A link that was left by a process that was killed is replaced.

        :raises OSError: if something else has that path, or it cannot be made.
        """
        self._master, self._slave = os.openpty()  # both held: that nobody has it open is no hang-up to us
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
        """It vanishes: a program that has it open sees a hang-up."""
        with contextlib.suppress(OSError):  # somebody has tidied its folder up
            if os.readlink(self.path) == os.ttyname(self._slave):
                os.unlink(self.path)
        self._close()

    def fileno(self) -> int:
        """Our end."""
        return self._master

    @property
    def speed(self) -> int:
        """The speed that is set on it now, in baud; 0 for one that has no standard name."""
        return _SPEEDS.get(termios.tcgetattr(self._master)[5], 0)

    def read(self) -> bytes:
        """What the program has sent."""
        return os.read(self._master, 4096)

    def write(self, data: bytes) -> None:
        """Bytes to the program."""
        with contextlib.suppress(BlockingIOError):  # nobody reads: a wire does not wait either
            os.write(self._master, data)

    @property
    def unread(self) -> int:
        """Bytes to the program that it has not read."""
        return int.from_bytes(fcntl.ioctl(self._slave, termios.FIONREAD, b"\0\0\0\0"), sys.byteorder)

    def forget_unread(self) -> None:
        """Takes back what the program has not read."""
        termios.tcflush(self._slave, termios.TCIFLUSH)

    def stop_echo(self) -> None:
        """A program may have left the terminal so that it sends back whatever comes to it."""
        if termios.tcgetattr(self._slave)[_LOCAL_MODES] & termios.ECHO:
            tty.setraw(self._slave, termios.TCSANOW)

    def _give_away(self, name: str) -> None:
        if self._group is not None:
            os.chown(name, -1, self._group)
        if self._mode is not None:
            os.chmod(name, self._mode)

    def _is_left_over(self) -> bool:
        """Whether a link of that name leads nowhere, or to a terminal that is younger than the link: another one, which
        was given the same number."""
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
