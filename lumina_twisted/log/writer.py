"""Threads that write log lines. Their queues are bounded, and no caller waits for them. Floor 2.

Lines that cannot be written are counted. As soon as the log can be written again, it says how many are missing.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Final, Protocol

from lumina_twisted.text import shown

_BATCH: Final = 2000
"""Most lines of one write."""
FLUSH_TIME: Final = 2.0
"""Seconds that a program waits for its log when it ends."""
FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 60.0


class Sink(Protocol):
    """Where lines go."""

    def write(self, lines: Sequence[bytes]) -> None:
        """Writes whole lines; raises OSError if it cannot."""
        ...


class Writer:
    """One thread that writes to one sink. The first line starts the thread, in the process that has the line to write,
    because a daemon forks after its log has begun.

    :param name: the sink's name in sentences.
    :param most: the most lines that may wait.
    :param report: is called with a sentence when writing fails, and when it works again.
    :param line: makes a log line of such a sentence.
    """

    def __init__(
        self, sink: Sink, name: str, most: int, report: Callable[[str], None],
        line: Callable[[str], bytes] = lambda sentence: sentence.encode() + b"\n",
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sink = sink
        self._name = name
        self._most = most
        self._report = report
        self._line = line
        self._now = now
        self._lock = threading.Lock()
        self._dropped = 0  # lines that found no room
        self._lost = 0  # lines that could not be written
        self._failures = 0
        self._retry_at = 0.0
        self._process = 0
        self._queue: SimpleQueue[bytes | threading.Event] = SimpleQueue()

    def put(self, line: bytes) -> None:
        """Queues ``line``, or counts it if there is no room. Does not wait."""
        if self._process != os.getpid():
            self._start()
        if self._queue.qsize() < self._most:
            self._queue.put(line)
        else:
            with self._lock:
                self._dropped += 1

    def flush(self, seconds: float = FLUSH_TIME) -> bool:
        """Waits until the queue is written, but no longer than ``seconds``. Returns whether it is written."""
        if self._process != os.getpid():
            return True
        done = threading.Event()
        self._queue.put(done)
        return done.wait(seconds)

    def _start(self) -> None:
        self._process = os.getpid()
        self._queue = SimpleQueue()
        self._lock = threading.Lock()
        # The thread inherits this mask. A signal that the main thread blocks must not reach the program through it.
        held = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            threading.Thread(target=self._run, name=f"log to {self._name}", daemon=True).start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
        atexit.register(self.flush)

    def _run(self) -> None:
        queue = self._queue
        while True:
            waiting = [queue.get()]
            with contextlib.suppress(Empty):
                while len(waiting) < _BATCH:
                    waiting.append(queue.get_nowait())
            lines = [one for one in waiting if isinstance(one, bytes)]
            if self._dropped:
                with self._lock:
                    dropped, self._dropped = self._dropped, 0
                lines.append(self._line(f"{dropped} events were not logged here: {self._name} was too slow for them"))
            self.write(lines)
            for one in waiting:
                if isinstance(one, threading.Event):
                    one.set()

    def write(self, lines: Sequence[bytes]) -> None:
        """Writes lines in the thread, or counts them while the sink fails."""
        if not lines:
            return
        if self._failures and self._now() < self._retry_at:
            self._lost += len(lines)
            return
        try:
            if self._lost:
                lost = f"{self._lost} events are missing here: {self._name} could not be written"
                self._sink.write([self._line(lost)])
                self._report(f"{self._name} can be written again; {self._lost} events are missing in it")
                self._lost = 0
            self._sink.write(lines)
            self._failures = 0
        except OSError as error:
            self._on_failure(error, len(lines))

    def _on_failure(self, error: OSError, lines: int) -> None:
        if not self._failures:
            self._report(
                f"{self._name} cannot be written ({error.strerror or error}); what is logged meanwhile is counted"
            )
        self._lost += lines
        self._retry_at = self._now() + min(FIRST_WAIT * 2.0**min(self._failures, 10), LONGEST_WAIT)
        self._failures += 1


class StandardOutput:
    """The console."""

    def write(self, lines: Sequence[bytes]) -> None:
        """Writes all lines, waiting for a slow terminal."""
        stream = sys.__stdout__
        if stream is None:
            return
        view = memoryview(b"".join(lines))
        while view:
            view = view[os.write(stream.fileno(), view):]


def complain(sentence: str) -> None:
    """Prints the sentence on standard error, where the operator looks."""
    with contextlib.suppress(OSError, ValueError):
        print(f"lumina: {shown(sentence)}", file=sys.__stderr__, flush=True)
