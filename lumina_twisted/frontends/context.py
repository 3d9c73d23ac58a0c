"""What a front-end has to work with, floor 4."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen
from twisted.logger import Logger

from lumina_twisted.devices.interfaces import Values
from lumina_twisted.ports.interfaces import Ports


@frozen(kw_only=True)
class Context:
    """What a front-end is given.

    :param ports: all it may ask, and the only way to a bus.
    :param reactor: for what Twisted does with one: listening, delayed calls.
    :param now: a clock that never goes back, in seconds.
    :param stamp: the time of day, in seconds since 1970.
    :param log: its logger; what it tells is about this listener.
    :param others: what the other listeners have counted, by protocol and endpoint.
    :param values: those of all devices; None where no device is described.
    """

    ports: Ports
    reactor: Any
    now: Callable[[], float]
    stamp: Callable[[], float]
    log: Logger
    others: Callable[[], Mapping[str, Mapping[str, int]]] = dict
    values: Values | None = None
