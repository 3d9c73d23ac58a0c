"""``lumina://HOST[:8888]`` and ``modbus://HOST[:502]``: where a server is and what it speaks, floor 3."""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import urlsplit

from lumina_twisted.errors import RequestError
from lumina_twisted.modbus.mbap import MODBUS_TCP_PORT

DEFAULT_PORTS: Final = {"lumina": 8888, "modbus": MODBUS_TCP_PORT}
_FORM: Final = "lumina://HOST[:8888] or modbus://HOST[:502]"


class ServerUrl(NamedTuple):
    """A server.

    :param scheme: ``lumina`` or ``modbus``.
    """

    scheme: str
    host: str
    port: int


def parse_url(url: str) -> ServerUrl:
    """What ``url`` says.

    :raises RequestError: if it is none of the two.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise RequestError(f"{url!r} is no URL of a server ({error}); expected {_FORM}") from None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise RequestError(f"{url!r} is no URL of a server; expected {_FORM}")
    if parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        raise RequestError(f"{url!r} has more than a host and a port; expected {_FORM}")
    if port == 0:
        raise RequestError(f"{url!r} has TCP port 0, where nobody listens; expected {_FORM}")
    return ServerUrl(parts.scheme, parts.hostname, DEFAULT_PORTS[parts.scheme] if port is None else port)
