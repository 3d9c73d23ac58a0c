"""What signals do to the daemon, floor 5.

=================  ===================================================================================================
SIGTERM, SIGINT    a clean stop, exit status 0; a second one does not wait and kills
SIGHUP             a sentence in the log; a clean stop if it came because our terminal was closed
SIGUSR1            the stacks of all threads on stderr, and it goes on (with twistd's own ``--logfile``: rotates that)
SIGUSR2, SIGALRM   a sentence in the log, and it goes on; likewise SIGVTALRM, SIGPROF, SIGIO, SIGPWR, SIGSTKFLT and the
                   real-time signals
SIGQUIT            the stacks on stderr, and it is killed by it
SIGABRT, SIGSEGV   the stacks on stderr, and it is killed by it (systemd's watchdog sends SIGABRT)
=================  ===================================================================================================
"""

from __future__ import annotations

import contextlib
import os
import signal
import termios
from types import FrameType
from typing import Any, Final

from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger

from lumina_twisted.config import early

_log: Final = Logger(namespace="lumina")


def hold_back() -> None:
    """No signal to stop comes through until :func:`take_over`; the reactor sets ways of its own in between, which end
    in another exit status."""
    signal.pthread_sigmask(signal.SIG_BLOCK, early.STOPPING)


def take_over(reactor: Any) -> None:
    """SIGTERM and Ctrl-C stop the daemon and leave exit status 0: after the reactor's own way, twistd would send the
    signal once more to be killed by it. A second one does not wait any longer."""
    terminals = [fd for fd in range(3) if os.isatty(fd)]

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        reactor.callFromThread(_stop, reactor, number)

    def hang_up(number: int, frame: FrameType | None) -> None:
        reactor.callFromThread(_on_hang_up, reactor, terminals)

    def pass_over(number: int, frame: FrameType | None) -> None:
        reactor.callFromThread(_pass_over, number)

    for number in early.STOPPING:
        signal.signal(number, stop)
    for number in early.MEANINGLESS:
        if signal.getsignal(number) in (signal.SIG_DFL, early.pass_over):
            signal.signal(number, pass_over)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        signal.signal(signal.SIGHUP, hang_up)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, early.STOPPING)
    if early.asked:
        reactor.callWhenRunning(_stop, reactor, early.asked[0])


def stop_reactor(reactor: Any) -> None:
    """Stops it if nobody else has."""
    with contextlib.suppress(ReactorNotRunning):
        reactor.stop()


def _stop(reactor: Any, number: int) -> None:
    _log.info("{signal} came, so Lumina stops", signal=signal.Signals(number).name)
    stop_reactor(reactor)


def _pass_over(number: int) -> None:
    """Whoever sends it may wait for what it does to another program."""
    name = signal.Signals(number).name if number in list(signal.Signals) else f"signal {number}"
    _log.info("{signal} means nothing to Lumina, which goes on", signal=name, fold=number)


def _on_hang_up(reactor: Any, terminals: list[int]) -> None:
    if any(map(_is_gone, terminals)):
        _log.info("the terminal was closed, so Lumina stops")
        stop_reactor(reactor)
    else:
        _log.info("SIGHUP changes nothing: the configuration is read at the start only, restart Lumina to change it")


def _is_gone(terminal: int) -> bool:
    try:
        termios.tcgetattr(terminal)
    except termios.error:
        return True
    return False
