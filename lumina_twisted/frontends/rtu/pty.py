"""The virtual serial port, floor 4: a pseudo-terminal under a stable link, for programs that only know serial Modbus.

The link stays while programs open and close it. Any speed that they set is accepted, and has no effect.
"""

from __future__ import annotations

import errno
import grp
import os
import re
from collections.abc import Iterator
from typing import Any, Final

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from lumina_twisted.errors import PortError
from lumina_twisted.frontends.endpoints import Place
from lumina_twisted.frontends.plugin import Context
from lumina_twisted.frontends.rtu.program import RtuOptions, RtuService, TerminalFrontEnd, has_unread
from lumina_twisted.ports.terminal import Terminal
from lumina_twisted.schema import setting

_MODE: Final = re.compile("[0-7]{3}")
LINGER: Final = 0.5
"""Seconds that a program has to read its last reply when the service stops."""
_LOOK_EVERY: Final = 0.01
CHECK_EVERY: Final = 1.0
"""Seconds between two checks that the link still exists; each is one system call."""
_REMEDIES: Final = {
    errno.EEXIST: "something else is there; remove it, or give another path",
    errno.ENOENT: "there is no such folder; make it, or give another path",
    errno.EACCES: "this user may not write there; give another path, or run the service as a user who may",
    errno.EPERM: "this user does not belong to that group; add it, or give another one",
}


@frozen(kw_only=True, slots=False)
class RtuPtyOptions(RtuOptions):
    """How the program behind a virtual serial port is answered, and who may open it."""

    mode: str = setting("660", "who may open it, in octal digits: 660 its owner and its group, 666 everybody")
    group: str = setting("", "the group that it belongs to, as dialout; not given: the system's choice, mostly tty")

    def faults(self) -> Iterator[tuple[str, str]]:
        """The options that are not possible: pairs of a key and a sentence."""
        yield from super().faults()
        if not _MODE.fullmatch(self.mode):
            yield "mode", f"expected three octal digits, as 660, got {self.mode!r}"
        if self.group and _group_number(self.group) is None:
            yield "group", f"this machine has no group {self.group!r}"


@implementer(IReadDescriptor)
class RtuPtyService(RtuService):
    """One virtual serial port."""

    def __init__(self, options: Any, context: Context) -> None:
        self.terminal = Terminal(options.endpoint, int(options.mode, 8), _group_number(options.group))
        super().__init__(options, context)
        self._check: IDelayedCall | None = None
        self._trouble: int | None = 0
        """The last error that prevented making the link again; each is logged once. 0: the link is there."""

    def privilegedStartService(self) -> None:
        """Makes the port.

        :raises PortError: if that is not possible; the message says why and what to do.
        """
        try:
            self.terminal.plug()
        except OSError as error:
            why = _REMEDIES.get(error.errno or 0, "give another path")
            sentence = f"cannot make the virtual serial port {self.path} ({os.strerror(error.errno or 0)})"
            raise PortError(f"{sentence}: {why}") from None
        self.clock.addReader(self)
        self._check = self.clock.callLater(CHECK_EVERY, self._check_link)

    def _check_link(self) -> None:
        """Makes the link again if it is gone: programs that tidy up a folder remove it, and then no program finds the
        port."""
        self._check = self.clock.callLater(CHECK_EVERY, self._check_link)
        try:
            if self.terminal.replug():
                self.log.warn("the link {path} was removed, and is there again", path=self.path, fold="link")
            self._trouble = 0
        except OSError as error:
            if self._trouble != error.errno:
                self._trouble = error.errno
                self.log.error(
                    "the link {path} of a virtual serial port was removed and cannot be made again ({why}): {remedy}",
                    path=self.path, why=os.strerror(error.errno or 0),
                    remedy=_REMEDIES.get(error.errno or 0, "give another path"),
                )

    def stopService(self) -> Deferred[None]:
        """Takes no more requests, and removes the port when the last request has ended.

        :return: a Deferred that fires with None when it is gone; it does not fail.
        """
        super().stopService()
        answered = self.last_answered()
        return answered.addCallback(lambda _: self._read_out(LINGER)).addCallback(lambda _: self._unplug())

    # -- what the reactor calls

    def fileno(self) -> int:
        """The service's end of the terminal."""
        return self.terminal.fileno()

    def logPrefix(self) -> str:
        """See :class:`twisted.internet.interfaces.ILoggingContext`."""
        return "rtu-pty"

    def doRead(self) -> None:
        """The program has sent something."""
        try:
            data = self.terminal.read()
        except BlockingIOError:
            return
        if not self.is_stopping:
            self.terminal.forget_unread()
            self.program.receive(data)

    def connectionLost(self, reason: Failure) -> None:
        """Logs a broken terminal. It should not happen: the service holds both ends."""
        path, why = self.terminal.path, str(reason.value)
        self.log.error("the virtual serial port {path} is broken ({why})", path=path, why=why)

    # -- what its program needs

    def send(self, frame: bytes) -> None:
        """See :class:`lumina_twisted.frontends.rtu.program.RtuService`."""
        self.terminal.stop_echo()
        self.terminal.write(frame)

    def begins_anew(self) -> bool:
        """See :class:`lumina_twisted.frontends.rtu.program.RtuService`."""
        return has_unread(self.terminal.fileno())

    def _read_out(self, patience: float) -> Deferred[None]:
        """Waits until the program has read its last reply, for ``patience`` seconds at most: unread bytes are lost with
        the terminal. Bytes that were just written become readable only after a moment."""
        return deferLater(self.clock, _LOOK_EVERY).addCallback(lambda _: self._is_read_out(patience - _LOOK_EVERY))

    def _is_read_out(self, patience: float) -> Deferred[None] | None:
        if patience <= 0 or not self.terminal.is_plugged or not self.terminal.unread:
            return None
        return self._read_out(patience)

    def _unplug(self) -> None:
        if self._check is not None and self._check.active():
            self._check.cancel()
        if self.terminal.is_plugged:
            self.clock.removeReader(self)
            self.close_program()
            self.terminal.unplug()


def _group_number(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


class RtuPtyFrontEnd(TerminalFrontEnd):
    """The virtual serial port."""

    name = "rtu-pty"
    summary = "a virtual serial port, for programs that only know serial Modbus RTU"
    endpoint = "/run/lumina/ttyMODBUS0"
    options = RtuPtyOptions
    what = "the virtual serial port"
    service = RtuPtyService

    def place(self, endpoint: str) -> Place | None:
        """The path of the link itself: before the start, the link may lead anywhere."""
        return Place(os.path.abspath(endpoint))
