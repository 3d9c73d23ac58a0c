"""``lumina://HOST[:8888]`` and ``modbus://HOST[:502]``: where a server is and what it speaks, floor 3."""

from __future__ import annotations

import os
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from lumina_twisted.errors import RequestError
from lumina_twisted.framing.mbap import MODBUS_TCP_PORT

VALUES_PORT: Final = 5000
"""The TCP port of a listener for values, unless configured otherwise."""
DEFAULT_PORTS: Final = {"lumina": 8888, "modbus": MODBUS_TCP_PORT}
LONGEST_SOCKET_PATH: Final = 107
"""In bytes; see unix(7)."""
LONGEST_LABEL: Final = 63
"""Characters between two dots of a name (RFC 1035, section 2.3.4)."""


class ServerUrl(NamedTuple):
    """A server.

    :param scheme: ``lumina`` or ``modbus``.
    """

    scheme: str
    host: str
    port: int


def parse_url(url: str, lumina_port: int = 8888) -> ServerUrl:
    """The server that a URL names.

    :param lumina_port: the TCP port for a ``lumina://`` URL without one.
    :raises RequestError: if the URL has neither of the two forms.
    """
    ports = {**DEFAULT_PORTS, "lumina": lumina_port}
    form = " or ".join(f"{scheme}://HOST[:{port}]" for scheme, port in ports.items())
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise RequestError(f"{url!r} is no URL of a server ({error}); expected {form}") from None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise RequestError(f"{url!r} is no URL of a server; expected {form}")
    if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise RequestError(f"{url!r} has more than a host and a port; expected {form}")
    if port == 0:
        raise RequestError(f"{url!r} has TCP port 0, where nobody listens; expected {form}")
    return ServerUrl(parts.scheme, parts.hostname, ports[parts.scheme] if port is None else port)


def check_place(host: str, port: int) -> None:
    """Refuses a place where no server can be.

    :raises RequestError: if the host is neither a name, an address nor the path of a socket, or the port no TCP port.
    """
    if not isinstance(host, str) or not host.strip() or not host.isprintable():
        raise RequestError(f"{host!r} is no host; write a name, an address or the path of a Unix socket")
    if host.startswith("/"):
        if len(os.fsencode(host)) > LONGEST_SOCKET_PATH:
            raise RequestError(f"the path of a Unix socket has {LONGEST_SOCKET_PATH} bytes at most, not as {host!r}")
        return
    if not isinstance(port, int) or not 0 < port < 65536:
        raise RequestError(f"port is a TCP port from 1 to 65535, not {port!r}")
    if not all(0 < len(label) <= LONGEST_LABEL for label in host.removesuffix(".").split(".")):
        raise RequestError(f"{host!r} is no host; between its dots stand 1 to {LONGEST_LABEL} characters")
