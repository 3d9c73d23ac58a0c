"""Why a serial device cannot be opened, as a sentence that says what to do, floor 2."""

from __future__ import annotations

import errno
import getpass
import grp
import os
import pathlib
import stat
from collections.abc import Callable, Iterator

_NOT_SERIAL = (errno.ENOTTY, errno.EINVAL, errno.EISDIR)
_NOTHING_BEHIND = (errno.EIO, errno.ENXIO, errno.ENODEV)


def why_not_open(path: str, error: BaseException, twin: Callable[[], str] = lambda: "") -> str:
    """The sentence for an error that opening ``path`` raised.

    :param twin: names the port of ours, if there is one, that leads to the same device under another path.
    """
    if isinstance(error, ValueError):  # pyserial's word for a setting that the driver has not
        return f"{path} cannot be opened with these settings ({error})"
    number = _number(error)
    if number == errno.ENOENT or not os.path.exists(path):
        if not path.startswith("/") and os.path.exists(f"/dev/{path}"):
            return f"there is no device {path} here; write /dev/{path}"
        return f"there is no device {path}; {_present()}"
    if number in (errno.EACCES, errno.EPERM) and not os.access(path, os.R_OK | os.W_OK):
        return _not_permitted(path)
    if number in (errno.EBUSY, errno.EAGAIN) or "lock" in str(error):
        if other := twin():
            return f"{path} is the device of port {other} too; a device belongs to one port, take one of the two away"
        return f"{path} is in use by {_holders(path)}; stop that, or set exclusive = false if both may speak"
    if number in _NOT_SERIAL:
        return _not_serial(path, number)
    if number in _NOTHING_BEHIND:
        return f"{path} has no hardware behind it ({os.strerror(number)}); {_present()}"
    return f"{path} cannot be opened ({error if number is None else os.strerror(number)})"


def why_lost(error: BaseException | None) -> str:
    """What is left of Twisted's error of a lost connection: the cause, without words about connections."""
    told = error.args[0] if error is not None and error.args else ""
    return told if isinstance(told, str) and told else "the device hung up"


def _number(error: BaseException | None) -> int | None:
    """The errno; pyserial and termios leave it in different places, and some only in what they were raised from."""
    while error is not None:
        for candidate in (getattr(error, "errno", None), *error.args[:1]):
            if isinstance(candidate, int):
                return candidate
        error = error.__cause__ or error.__context__
    return None


def _not_serial(path: str, number: int) -> str:
    mode = os.stat(path).st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return f"{path} is {'a file' if stat.S_ISREG(mode) else 'a folder'} and no serial device; {_present()}"
    return f"{path} is no serial device, or does not take these settings ({os.strerror(number)}); {_present()}"


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
        group = user = ""
    if group in ("", "nogroup"):  # the latter is what systemd's PrivateUsers= shows us of every group
        return f"{path} may not be opened by this user; its group, and in a service DeviceAllow=, would have to let it"
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
