"""Why a serial device cannot be opened, as a sentence that says what to do, floor 2."""

from __future__ import annotations

import errno
import getpass
import grp
import os
import pathlib
from collections.abc import Iterator

_HELD = (errno.EBUSY, errno.EAGAIN, errno.EACCES)


def why_not_open(path: str, error: BaseException) -> str:
    """The sentence for an error that opening ``path`` raised."""
    number = getattr(error, "errno", None)
    if number == errno.ENOENT or not os.path.exists(path):
        return f"there is no device {path}; {_present()}"
    if number in (errno.EACCES, errno.EPERM) and not os.access(path, os.R_OK | os.W_OK):
        return _not_permitted(path)
    if number in (errno.EBUSY, errno.EAGAIN) or "lock" in str(error):
        return f"{path} is in use by {_holders(path)}; stop that, or set exclusive = false if both may speak"
    if number in (errno.ENOTTY, errno.EINVAL):
        return f"{path} is no serial device, or does not take these settings ({os.strerror(number)})"
    return f"{path} cannot be opened ({_plain(error)})"


def _plain(error: BaseException) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number) if isinstance(number, int) else str(error)


def _present() -> str:
    kinds = ("serial/by-id/*", "ttyUSB*", "ttyACM*", "ttyAMA*")
    found = sorted(str(one) for kind in kinds for one in pathlib.Path("/dev").glob(kind))
    if not found:
        return "no serial adapter is plugged in"
    return f"plug it in, or name one of {', '.join(found[:8])}"


def _not_permitted(path: str) -> str:
    try:
        group = grp.getgrgid(os.stat(path).st_gid).gr_name
        user = getpass.getuser()
    except (KeyError, OSError):
        return f"{path} may not be opened by this user"
    return f"{path} may not be opened by {user}; `sudo usermod -aG {group} {user}` lets it, after logging in again"


def _holders(path: str) -> str:
    found = [f"{name} (process {pid})" for pid, name in _processes_with(os.path.realpath(path))]
    return " and ".join(found) if found else "another program (run `sudo fuser -v` on it to see which)"


def _processes_with(device: str) -> Iterator[tuple[int, str]]:
    """Other processes that have ``device`` open, as far as this user may see them."""
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        try:
            held = any(os.readlink(one) == device for one in (process / "fd").iterdir())
            name = (process / "comm").read_text().strip() if held else ""
        except OSError:
            continue  # it ended, or belongs to somebody else
        if held:
            yield int(process.name), name
