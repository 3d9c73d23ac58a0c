"""How long logging holds the reactor up: 1,000 events a second while files are rotated by size and by day.

``python -m benchmarks.logging_stall [seconds]``. The day changes every two seconds and a file holds 5 MB; each event
has 4 kB, so that this size is passed every 1.3 seconds too. Compared with the same run without a log.
"""

from __future__ import annotations

import pathlib
import re
import sys
import tempfile
import time

from twisted.internet import reactor, task
from twisted.logger import Logger

from lumina_twisted.log import LogSettings, make_observer

EVERY = 0.002
PAYLOAD = "x" * 4000


class Stalls:
    """Looks at the clock every 2 ms and notes how late it was."""

    def __init__(self) -> None:
        self.lateness: list[float] = []
        self._due = 0.0

    def look(self) -> None:
        now = time.perf_counter()
        if self._due:
            self.lateness.append(max(0.0, now - self._due))
        self._due = now + EVERY

    def told(self) -> str:
        ordered = sorted(self.lateness)
        p99 = ordered[int(len(ordered) * 0.99)]
        return f"longest stall {1000 * ordered[-1]:.1f} ms, p99 {1000 * p99:.2f} ms"


def measure(seconds: float, folder: pathlib.Path | None) -> tuple[Stalls, int]:
    """One run; the events that were logged are counted."""
    started = time.time()
    settings = LogSettings(console="off", directory=str(folder or ""), keep=1000)
    observer = make_observer(settings, stamp=lambda: started + (time.time() - started) // 2 * 86400)
    log, stalls, sent = Logger(namespace="lumina.bench", observer=observer), Stalls(), 0

    def tick() -> None:
        nonlocal sent
        stalls.look()
        for _ in range(2):
            log.info("event {number} {payload}", number=sent, payload=PAYLOAD)
            sent += 1

    loop = task.LoopingCall(tick)
    loop.start(EVERY, now=False)
    reactor.callLater(seconds, reactor.crash)  # type: ignore[attr-defined]
    reactor.run()  # type: ignore[attr-defined]
    loop.stop()
    observer.close()
    return stalls, sent


def main() -> None:
    """Both runs, as sentences."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name) / "logs"
        if "--without" in sys.argv:
            stalls, sent = measure(seconds, None)
            print(f"without a log: {stalls.told()}")
            return
        stalls, sent = measure(seconds, folder)
        files = sorted(folder.iterdir())
        written = sum(len(re.findall(rb"event \d+", one.read_bytes())) for one in files)
        largest = max(one.stat().st_size for one in files)
        days = len({one.name.split(".")[2] for one in files if one.name != "lumina.log"}) + 1
        print(
            f"{sent} events in {seconds:.0f} s, {sent - written} lost; {len(files)} files over {days} days, the largest"
            f" {largest:,} bytes; {stalls.told()}"
        )


if __name__ == "__main__":
    main()
