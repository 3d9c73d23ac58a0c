"""Who may read what Lumina writes, floor 2: its user and its group, whatever umask it was started with.

Logs contain addresses of clients and frames; a database contains values and configurations. Other users of the machine
have no business there. A stricter umask stays in force, and what exists already keeps its mode: an operator may have
set it.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
from typing import Final

FILE_MODE: Final = 0o640
FOLDER_MODE: Final = 0o750


def make_folder(path: pathlib.Path) -> None:
    """Makes a folder and those above it that are missing.

    :raises OSError: if that cannot be done.
    """
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    for one in reversed(missing):
        one.mkdir(FOLDER_MODE, exist_ok=True)


def make_file(path: pathlib.Path) -> None:
    """Makes an empty file and the folders above it, if they are missing: for one who opens it without a mode.

    :raises OSError: if that cannot be done.
    """
    make_folder(path.parent)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))
