"""A log file that is rotated by size and by day, floor 2. It is written from one thread only.

The size is checked before each line, so that no file exceeds its limit. The name of an older file ends with its day
and a number: ``lumina.log.2026-11-20.001``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import re
import stat
import time
from collections.abc import Callable, Sequence
from typing import Final

from lumina_twisted.files import FILE_MODE, make_folder

_OLD: Final = re.compile(r"\.(\d{4}-\d\d-\d\d)\.(\d{3,})$")


def day_of(stamp: float) -> str:
    """The local date of ``stamp``, for a file's name."""
    return time.strftime("%Y-%m-%d", time.localtime(stamp))


class RotatingFile:
    """One log and its older files.

    :param path: of the log. If another process writes that file, the id of this process is added to the name.
    :param size: the limit of one file, in bytes.
    :param keep: how many older files are kept.
    :param stamp: gives the time of day, in seconds since 1970.
    """

    def __init__(
        self, path: pathlib.Path, size: int = 5_000_000, keep: int = 30, stamp: Callable[[], float] = time.time
    ) -> None:
        self.path = path
        self._size = size
        self._keep = keep
        self._stamp = stamp
        self._descriptor = -1
        self._length = 0
        self._day = ""

    def write(self, lines: Sequence[bytes]) -> None:
        """Appends whole lines.

        :raises OSError: if writing fails. Some of the lines may be in the file already.
        """
        self._reopen_if_moved()
        batch: list[bytes] = []
        length = self._length
        for line in lines:
            line = line if len(line) <= self._size else line[: self._size - 1] + b"\n"
            if (length and length + len(line) > self._size) or self._is_new_day():
                self._append(b"".join(batch))
                batch, length = [], 0
                self._rotate()
            batch.append(line)
            length += len(line)
        self._append(b"".join(batch))

    def close(self) -> None:
        """Closes the file; the next write opens it again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _reopen_if_moved(self) -> None:
        """Opens the file again if somebody has removed or moved it."""
        if self._descriptor >= 0:
            with contextlib.suppress(FileNotFoundError):
                if os.stat(self.path).st_ino == os.fstat(self._descriptor).st_ino:
                    return
            self.close()
        self._open()

    def _open(self) -> None:
        make_folder(self.path.parent)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):  # devices are not locked
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            if self.path.stem.endswith(f"-{os.getpid()}"):
                raise
            self.path = self.path.with_name(f"{self.path.stem}-{os.getpid()}{self.path.suffix}")
            self._open()
            return
        found = os.fstat(descriptor)
        self._descriptor, self._length = descriptor, found.st_size
        self._day = day_of(min(found.st_mtime, self._stamp()) if found.st_size else self._stamp())

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.write(self._descriptor, view)
            self._length += written
            view = view[written:]

    def _is_new_day(self) -> bool:
        """Whether the day of the file is over. A clock that is set back does not begin a new file."""
        today = day_of(self._stamp())
        if today > self._day and not self._length:
            self._day = today  # the file is empty, so it holds nothing of yesterday
        return today > self._day

    def _rotate(self) -> None:
        if self._length:
            numbers = [number for day, number, _ in self._older() if day == self._day]
            target = f"{self.path.name}.{self._day}.{max(numbers, default=0) + 1:03d}"
            os.rename(self.path, self.path.with_name(target))
        self.close()
        self._open()
        self._day = max(self._day, day_of(self._stamp()))
        for _, _, path in sorted(self._older())[: -self._keep]:
            path.unlink(missing_ok=True)

    def _older(self) -> list[tuple[str, int, pathlib.Path]]:
        """Day, number and path of each older file."""
        found = [(_OLD.search(path.name), path) for path in self.path.parent.glob(f"{self.path.name}.*")]
        return [(match[1], int(match[2]), path) for match, path in found if match]
