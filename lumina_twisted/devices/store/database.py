"""The SQLite file of the store: opening, checking, reading and writing it. The lock that keeps other services away.
Floor 3.

All of this runs in the only thread of a Twisted thread pool, which has the only connection. The file is in WAL mode,
in which a commit always survives the death of the process. Each transaction decides what a power cut may destroy:

* readings and changes are committed with ``synchronous=NORMAL``. The file is never torn, but the commits since the last
  checkpoint may be lost. That spares a memory card a flush each second.
* a configuration, and the last batch at a stop, are committed with ``synchronous=FULL``. They are on the disk before
  the caller gets its answer, together with all earlier commits.

Two services that write the same file would each overwrite the other's values. So a service that uses the file holds a
lock (flock(2)) on a second file beside it, ``PATH.lock``, which holds the process id. The system releases the lock when
the process ends, however it ends. The lock file stays, and means nothing without the lock. The lock is not on the
database itself: SQLite locks that for each transaction, and a damaged database is renamed.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import fcntl
import json
import os
import pathlib
import sqlite3
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from attrs import Factory, frozen
from twisted.enterprise import adbapi

from lumina_twisted.files import FILE_MODE, make_file, make_folder
from lumina_twisted.valueproto.reading import Quality, Reading

Change = tuple[str, str, Reading]
"""A device, a point, and what is known of it."""

APPLICATION_ID: Final = 0x4C756D69
"""``Lumi``, in the header of the file. Other programs' files have another id (SQLite file format, section 1.3.15)."""
VERSION: Final = 1
_COLUMNS: Final = "device TEXT NOT NULL, point TEXT NOT NULL, value TEXT NOT NULL, quality TEXT NOT NULL, time REAL," \
    " why TEXT NOT NULL"
SCHEMA: Final = f"""
BEGIN;
CREATE TABLE readings ({_COLUMNS}, PRIMARY KEY (device, point)) WITHOUT ROWID;
CREATE TABLE changes (id INTEGER PRIMARY KEY, {_COLUMNS});
CREATE TABLE configurations (device TEXT PRIMARY KEY, type TEXT NOT NULL, config TEXT NOT NULL) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
COMMIT;
"""
_DAMAGE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PASSING: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
"""Errors after which the connection can still be used."""


class Damaged(Exception):
    """The file is ours but cannot be used. It has to be set aside."""


class NotOurs(sqlite3.OperationalError):
    """The file is another program's database, or a text file. It stays where it is."""


@frozen
class Configuration:
    """What a client configured for a device: its type, and plain data."""

    type: str
    config: Mapping[str, Any]


@frozen
class Kept:
    """What the file held when it was opened.

    :param readings: the last one of each point, by device and point.
    :param changes: the last ones of each point, the oldest first.
    :param configurations: by device.
    :param unreadable: for a person, what each unreadable row holds.
    """

    readings: Mapping[tuple[str, str], Reading] = Factory(dict)
    changes: Mapping[tuple[str, str], list[Reading]] = Factory(dict)
    configurations: Mapping[str, Configuration] = Factory(dict)
    unreadable: tuple[str, ...] = ()


class Database(adbapi.ConnectionPool):
    """One connection in one thread, checked when it is opened.

    :ivar messages: for the log; the database's thread adds them, the reactor's thread takes them.
    """

    def __init__(self, path: str, reactor: Any) -> None:
        super().__init__(
            "sqlite3", path, check_same_thread=False, cp_reactor=reactor, cp_min=1, cp_max=1, cp_openfun=self._opened,
            cp_name="state",
        )
        self._path = pathlib.Path(path)
        self._is_suspect = False
        self._was_ours = False
        self.messages: deque[str] = deque(maxlen=100)

    def connect(self) -> Any:
        """The connection. Opens the file first if it is not open, or opens it again after an error made it suspect."""
        if self._is_suspect:
            self.disconnect(self.connections.get(self.threadID()))
            self._is_suspect = False
        if self.connections:
            return super().connect()
        try:
            make_file(self._path)  # SQLite gives the same mode to the files beside it
            return super().connect()
        except Damaged:
            make_file(self._path)
            return super().connect()  # now the file is a new one

    def suspect(self, error: BaseException) -> bool:
        """Decides what the error of a transaction means.

        :return: whether the transaction may be tried again. If need be, the file is opened and checked anew before.
        """
        if not isinstance(error, (sqlite3.OperationalError, OSError)) and not _is_damage(error):
            return False
        self._is_suspect = _code(error) not in _PASSING
        return True

    def _opened(self, connection: sqlite3.Connection) -> None:
        try:
            _prepare(connection)
            self._was_ours = True
        except Exception as error:
            try:
                if _is_damage(error):
                    self._leave_alone_a_text()
                    self._set_aside(str(error))
                    raise Damaged(str(error)) from None
                raise
            finally:
                connection.close()

    def _leave_alone_a_text(self) -> None:
        """Refuses a text file. A damaged database does not become a text, so the path is a mistake, and the file stays.

        :raises NotOurs: if the file is a text, and was not this program's database before.
        """
        has_log = self._path.with_name(f"{self._path.name}-wal").exists()
        if not self._was_ours and not has_log and _is_text(self._path):
            raise NotOurs("it is a text, and no database; name another file")

    def _set_aside(self, why: str) -> None:
        """Renames the file and those that belong to it, because a new file would take the old one's log for its own.
        The file is still open here, because closing it deletes the log."""
        aside = self._path.with_name(f"{self._path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
        while aside.exists():
            aside = aside.with_name(f"{aside.name}-again")
        self._path.rename(aside)
        for tail in ("-wal", "-shm"):
            beside = self._path.with_name(self._path.name + tail)
            if beside.exists():
                beside.rename(aside.with_name(aside.name + tail))
        self.messages.append(
            f"{self._path} cannot be used: {why}. It was set aside as {aside.name}, and a new file was begun: states,"
            " their history and what was configured by clients begin anew"
        )


def _code(error: BaseException) -> int:
    """SQLite's primary result code; 0 if the error is not one of SQLite's."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _is_damage(error: BaseException) -> bool:
    return isinstance(error, Damaged) or _code(error) in _DAMAGE


def _is_text(path: pathlib.Path) -> bool:
    """Whether the first 4096 bytes of the file are UTF-8 without a NUL."""
    with path.open("rb") as file:
        begin = file.read(4096)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(begin)  # the last character may be cut
    except UnicodeDecodeError:
        return False
    return bool(begin) and b"\0" not in begin


def _prepare(connection: sqlite3.Connection) -> None:
    """Checks a file that has just been opened, and makes its tables if it is new.

    :raises Damaged: if it is damaged, or newer than this program.
    :raises NotOurs: if it is another program's.
    """
    application = _one(connection, "PRAGMA application_id")
    version = _one(connection, "PRAGMA user_version")
    is_empty = not _one(connection, "SELECT count(*) FROM sqlite_master")
    if application != APPLICATION_ID and not (application == 0 and is_empty):
        raise NotOurs("it is another program's database; name another file")
    if version > VERSION:
        raise Damaged(f"a newer Lumina wrote it (version {version} of its tables, this one knows {VERSION})")
    found = _one(connection, "PRAGMA quick_check(1)")
    if found != "ok":
        raise Damaged(f"the check found: {found}")
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")
    connection.execute("PRAGMA journal_mode = WAL")
    if is_empty:
        connection.executescript(SCHEMA)


def _one(connection: sqlite3.Connection, statement: str) -> Any:
    return connection.execute(statement).fetchone()[0]


# -- transactions: each function gets the cursor; a commit follows when it returns ------------------------------------


def write(cursor: Any, changes: list[Change], history_rows: int) -> None:
    """Adds changes. Keeps the newest ``history_rows`` rows, and deletes older ones."""
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.executemany("INSERT INTO changes VALUES (NULL, ?, ?, ?, ?, ?, ?)", _rows(changes))
    write_readings(cursor, {(device, point): (device, point, reading) for device, point, reading in changes}.values())
    cursor.execute("DELETE FROM changes WHERE id <= (SELECT max(id) FROM changes) - ?", (history_rows,))


def write_readings(cursor: Any, readings: Iterable[Change]) -> None:
    """Replaces the last readings of these points."""
    cursor.executemany("INSERT OR REPLACE INTO readings VALUES (?, ?, ?, ?, ?, ?)", _rows(readings))


def finish(cursor: Any, readings: list[Change]) -> None:
    """The last transaction before a stop."""
    cursor.execute("PRAGMA synchronous = FULL")
    write_readings(cursor, readings)


def checkpoint(cursor: Any) -> None:
    """Moves all commits from the log into the file. Otherwise closing the file would do it, in the reactor's thread."""
    cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def configure(cursor: Any, device: str, configuration: tuple[str, str] | None) -> None:
    """Replaces or deletes the configuration of a device, which is its type and a JSON text. After the commit, it is on
    the disk."""
    cursor.execute("PRAGMA synchronous = FULL")
    if configuration is None:
        cursor.execute("DELETE FROM configurations WHERE device = ?", (device,))
    else:
        cursor.execute("INSERT OR REPLACE INTO configurations VALUES (?, ?, ?)", (device, *configuration))


def load(cursor: Any, history: int) -> Kept:
    """All that the file holds, with at most ``history`` changes of each point."""
    changes: dict[tuple[str, str], deque[Reading]] = {}
    lost: list[str] = []
    for key, reading in _readings(cursor.execute(f"SELECT {_NAMES} FROM changes ORDER BY id"), lost):
        changes.setdefault(key, deque(maxlen=history)).append(reading)
    readings = dict(_readings(cursor.execute(f"SELECT {_NAMES} FROM readings"), lost))
    configured = {}
    for device, type_, config in cursor.execute("SELECT device, type, config FROM configurations"):
        try:
            configured[device] = Configuration(type_, json.loads(config))
        except ValueError:
            lost.insert(0, f"what was configured of {device}")
    return Kept(readings, {key: list(kept) for key, kept in changes.items()}, configured, tuple(lost))


_NAMES: Final = "device, point, value, quality, time, why"


def _rows(changes: Iterable[Change]) -> Iterator[tuple[Any, ...]]:
    """Yields one row at a time, so that other threads have their turn between two rows."""
    for device, point, reading in changes:
        yield device, point, json.dumps(reading.value), reading.quality.value, reading.time, reading.why


def _readings(rows: Iterable[tuple[Any, ...]], lost: list[str]) -> Iterator[tuple[tuple[str, str], Reading]]:
    for device, point, text, quality, when, why in rows:
        try:
            value = json.loads(text)
            value = tuple(value) if isinstance(value, list) else value
            yield (device, point), Reading(value, Quality(quality), when, why)
        except ValueError:  # a bit has flipped; SQLite has no checksums
            lost.append(f"a value of {device}.{point}")


# -- one service per database ----------------------------------------------------------------------------------------

PATIENCE: Final = 3.0
"""Seconds that a service waits for the one that has the lock: that one may be about to stop, and writes its last
values then."""
_PAUSE: Final = 0.05
_HELD: Final = (errno.EWOULDBLOCK, errno.EACCES)
"""Errors of flock(2) if another process has the lock. The second is that of NFS."""
IN_MEMORY: Final = ("", ":memory:")


class DatabaseLock:
    """The lock of one database.

    :param path: of the database.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: int | None = None

    def take(self, patience: float = PATIENCE) -> str:
        """Takes the lock. Blocks while another process has it, which is allowed because the reactor does not run yet.

        If the lock file cannot be made or locked, nothing is locked, and this is no error. If the database cannot be
        written there either, the log says so.

        :param patience: the longest wait, in seconds.
        :return: an empty string, or a sentence that names the process that has the lock.
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
        """Releases the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _opened(path: str) -> int:
    make_folder(pathlib.Path(path).parent)
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    except PermissionError:  # another user's lock file; that user may hold the lock all the same
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _locked(descriptor: int) -> bool:
    """Whether the lock is ours now, or nobody can have it, as on a file system without locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _HELD
    return True
