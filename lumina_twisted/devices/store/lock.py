"""One service per database, floor 3: two that write the same file would each undo what the other keeps.

Whoever uses the file holds a lock (flock(2)) on one beside it, ``PATH.lock``, which names the process. The system
releases the lock when the process ends, however it ends; the file beside stays, and means nothing without the lock. The
database itself is not locked: SQLite does that, for each transaction, and a damaged one is renamed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pathlib
import time
from typing import Final

from lumina_twisted.files import FILE_MODE, make_folder

PATIENCE: Final = 3.0
"""Seconds that a service waits for the one before it, which may be about to stop: it writes its last values then."""
_PAUSE: Final = 0.05
_HELD: Final = (errno.EWOULDBLOCK, errno.EACCES)
"""How flock(2) fails for a lock that another process has; over NFS with the second."""
IN_MEMORY: Final = ("", ":memory:")


class DatabaseLock:
    """The lock of one database.

    :param path: of the database.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: int | None = None

    def take(self, patience: float = PATIENCE) -> str:
        """Takes it, and waits for that: the reactor does not run yet.

        A file beside the database that cannot be made or locked locks nothing; that the database cannot be written
        there either, the log says.

        :param patience: seconds.
        :return: nothing, or a sentence that names who has it.
        """
        if self._path in IN_MEMORY or self._descriptor is not None:
            return ""
        try:
            descriptor = _opened(f"{os.path.realpath(self._path)}.lock")
        except OSError:
            return ""
        until = time.monotonic() + patience
        while not (is_ours := _locked(descriptor)) and time.monotonic() < until:
            time.sleep(_PAUSE)
        if not is_ours:
            process = ""
            with contextlib.suppress(OSError, ValueError):
                process = f", process {int(os.pread(descriptor, 20, 0))}"
            os.close(descriptor)
            return (
                f"the database {os.path.abspath(self._path)} is in use by another Lumina{process}; stop that one, or"
                ' give this one a file of its own, as `database = "state/other.db"` in [values]'
            )
        self._descriptor = descriptor
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return ""

    def release(self) -> None:
        """Gives it back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _opened(path: str) -> int:
    make_folder(pathlib.Path(path).parent)
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    except PermissionError:  # that of another user, who may have it all the same
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _locked(descriptor: int) -> bool:
    """Whether it is ours now, or can be nobody's, as on a file system that has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _HELD
    return True
