"""What is wrong with an endpoint string, floor 5, as sentences instead of Python's errors."""

from __future__ import annotations

import re
from typing import Final

from twisted.internet.endpoints import serverFromString

_TCP: Final = re.compile(r"(?:tcp6?|ssl):(?:port=)?(?P<number>[^:]*)")
_INTERFACE: Final = re.compile(r":interface=(?P<host>[^:]*)")
_EXAMPLE: Final = "a Twisted server endpoint looks like tcp:8888:interface=127.0.0.1"


def endpoint_fault(text: str) -> str | None:
    """A sentence that says why ``text`` cannot be listened on, or nothing.

    Nothing is opened. What only a start by systemd brings is taken to be there.
    """
    if (tcp := _TCP.match(text)) and (number := tcp["number"]) and not _is_tcp_port(number):
        return f"{number!r} is no TCP port from 0 to 65535 in {text!r}"
    try:
        serverFromString(None, text)
    except OSError as error:
        return f"{error.filename or text} cannot be read ({error.strerror})"
    except ImportError as error:
        return f"{text!r} needs a package that is not here ({error}); for TLS, `pip install twisted[tls]` brings it"
    except LookupError as error:
        return None if text.startswith("systemd:") else f"{text!r} cannot be used ({error}); {_EXAMPLE}"
    except Exception as error:
        return f"{text!r} is no endpoint ({_plain(error)}); {_EXAMPLE}"
    return None


def tcp_address(text: str) -> tuple[str, int] | None:
    """Where a client on this machine reaches a ``tcp:`` endpoint; None if ``text`` is another one."""
    if not (text.startswith("tcp:") and (tcp := _TCP.match(text))):
        return None
    interface = _INTERFACE.search(text)
    host = interface["host"] if interface else ""
    return ("127.0.0.1" if host in ("", "0.0.0.0") else host), int(tcp["number"])


def _is_tcp_port(number: str) -> bool:
    return number.isascii() and number.isdigit() and int(number) <= 65535


def _plain(error: Exception) -> str:
    """Without the names of the functions that raised it."""
    return re.sub(r"^[\w.]+\(\) ", "", str(error)) or type(error).__name__
