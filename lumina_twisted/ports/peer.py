"""Who is at the other end of a connection, as a person writes it, floor 2."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address


def host_of(transport: Any) -> str:
    """The address of its peer, without a port number."""
    address = transport.getPeer()
    return str(address.host) if isinstance(address, IPv4Address | IPv6Address) else str(address)


def peer_of(transport: Any) -> str:
    """``192.168.1.5:4001``, or whatever else tells who it is."""
    address = transport.getPeer()
    if isinstance(address, IPv6Address):
        return f"[{address.host}]:{address.port}"
    return f"{address.host}:{address.port}" if isinstance(address, IPv4Address) else str(address)
