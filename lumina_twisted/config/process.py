"""What the daemon needs of its process, floor 5: signals, descriptors, garbage collection and the exit status.

Nothing here imports Twisted before there is a reactor, because importing Twisted takes a while. twistd imports
``lumina_twisted.tap`` before it does anything else, and ``tap`` imports this module first. From then on no stop signal
is lost, and a crash writes its stacks.

=================  ===================================================================================================
SIGTERM, SIGINT    a clean stop, exit status 0; a second one kills the process at once
SIGHUP             a sentence in the log; a clean stop if the terminal of the process was closed
SIGUSR1            the stacks of all threads on stderr; the process goes on (twistd's ``--logfile`` is rotated instead)
SIGUSR2, SIGALRM   a sentence in the log; the process goes on. The same for SIGVTALRM, SIGPROF, SIGIO, SIGPWR, SIGSTKFLT
                   and the real-time signals
SIGQUIT            the stacks on stderr, then the process dies from the signal
SIGABRT, SIGSEGV   the stacks on stderr, then the process dies from the signal (systemd's watchdog sends SIGABRT)
=================  ===================================================================================================
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import gc
import os
import resource
import signal
import sys
import termios
from types import FrameType
from typing import Any, Final, TextIO

STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
MEANINGLESS: Final = tuple(
    number for number in signal.valid_signals()
    if number in {
        signal.SIGUSR2, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO, signal.SIGPWR, signal.SIGSTKFLT,
    } or number >= signal.SIGRTMIN
)
"""Signals that mean nothing to Lumina, but would end it by default. They may come from a timer that a library left,
from a script that mistakes Lumina for another daemon, or from an operator's mistake."""
_COLLECT_AFTER: Final = 20_000
"""New objects between two runs of the garbage collector. Reference counts free nearly all of Lumina's objects. The
default of 700 runs the collector every few dozen commands and costs a tenth of the throughput."""

noted: list[int] = []
"""Stop signals that came before there was a reactor to stop."""


def note_signals() -> None:
    """Records stop signals until :func:`handle_signals` runs; a second one kills the process at once."""
    write_stacks_to(sys.__stderr__)
    for number in STOPPING:
        signal.signal(number, _note)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it
        signal.signal(signal.SIGHUP, _pass_over)
    for number in MEANINGLESS:
        if signal.getsignal(number) is signal.SIG_DFL:  # otherwise a library uses it
            signal.signal(number, _pass_over)


def write_stacks_to(stream: TextIO | None) -> None:
    """Sets where the stacks of all threads are written, after a crash and on request."""
    if stream is None:
        return  # the parent process closed it
    with contextlib.suppress(OSError, ValueError, RuntimeError):  # the stream is no file, as in some tests
        faulthandler.enable(stream)
        faulthandler.register(signal.SIGUSR1, stream)
        faulthandler.register(signal.SIGQUIT, stream, chain=True)


def _note(number: int, frame: FrameType | None) -> None:
    noted.append(number)
    signal.signal(number, signal.SIG_DFL)


def _pass_over(number: int, frame: FrameType | None) -> None:
    """Ignores the signal: there is no log yet to report it in."""


def block_signals() -> None:
    """Blocks stop signals until :func:`handle_signals` runs. In between, the reactor installs handlers of its own,
    which would end the process with another exit status."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)


def handle_signals(reactor: Any) -> None:
    """Installs the handlers of the running daemon in place of the reactor's. With the reactor's handlers, twistd
    sends itself the signal again, and the exit status is not 0."""
    terminals = [fd for fd in range(3) if os.isatty(fd)]

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        reactor.callFromThread(_stop, reactor, number)

    def hang_up(number: int, frame: FrameType | None) -> None:
        reactor.callFromThread(_on_hang_up, reactor, terminals)

    def pass_over(number: int, frame: FrameType | None) -> None:
        reactor.callFromThread(_log_meaningless, number)

    for number in STOPPING:
        signal.signal(number, stop)
    for number in MEANINGLESS:
        if signal.getsignal(number) in (signal.SIG_DFL, _pass_over):
            signal.signal(number, pass_over)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it
        signal.signal(signal.SIGHUP, hang_up)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    if noted:
        reactor.callWhenRunning(_stop, reactor, noted[0])


def stop_reactor(reactor: Any) -> None:
    """Stops the reactor if it still runs."""
    from twisted.internet.error import ReactorNotRunning

    with contextlib.suppress(ReactorNotRunning):
        reactor.stop()


def _stop(reactor: Any, number: int) -> None:
    _log("{signal} came, so Lumina stops", signal=signal.Signals(number).name)
    stop_reactor(reactor)


def _log_meaningless(number: int) -> None:
    """Logs the signal, because its sender may wait for an effect."""
    name = signal.Signals(number).name if number in list(signal.Signals) else f"signal {number}"
    _log("{signal} means nothing to Lumina, which goes on", signal=name, fold=number)


def _on_hang_up(reactor: Any, terminals: list[int]) -> None:
    if any(map(_is_gone, terminals)):
        _log("the terminal was closed, so Lumina stops")
        stop_reactor(reactor)
    else:
        _log("SIGHUP changes nothing: the configuration is read at the start only, restart Lumina to change it")


def _is_gone(terminal: int) -> bool:
    try:
        termios.tcgetattr(terminal)
    except termios.error:
        return True
    return False


def _log(sentence: str, **fields: Any) -> None:
    from twisted.logger import Logger

    Logger(namespace="lumina").info(sentence, **fields)


def raise_open_files_limit() -> None:
    """Raises the soft limit of open files to the hard one: a thousand clients need more than the usual soft limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # some systems refuse a limit that they report as unlimited
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def collect_less() -> None:
    """Exempts the objects made at the start from garbage collection, and makes the collector run less often."""
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 20)


def exit_with_failure() -> None:
    """Makes the process exit with status 1 although twistd stops cleanly; twistd itself has no way to say so."""

    def leave() -> None:
        for stream in (sys.__stdout__, sys.__stderr__):
            if stream is not None:
                stream.flush()
        os._exit(1)

    atexit.register(leave)


if "twisted.scripts.twistd" in sys.modules:
    note_signals()
