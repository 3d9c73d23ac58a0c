"""The caller of a request, and the terms of the request, floor 1.

Both objects pass unchanged from the front end down to the bus. Everything that depends on the client reads the caller:
turns, statistics, the log, refusals.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final
from weakref import WeakKeyDictionary

from attrs import field, frozen

from lumina_twisted.modbus.settings import SerialSettings
from lumina_twisted.priority import Priority

MAX_NAME: Final = 80


def _printable(name: str) -> str:
    return "".join(one if one.isprintable() else "?" for one in name[:MAX_NAME])


@frozen(eq=False)
class Caller:
    """The source of requests: a client's connection, a terminal, the poller, a program's pool.

    A caller is equal only to itself. The bus takes turns between callers, so two callers with the same name each have
    their own turns.

    :param name: what people read, such as ``192.168.1.7:40122`` or ``the poller``.
    :param peer: the address of its peer, without a port number; empty for a caller inside this process.
    :param listener: the listener that it is connected to, as the statistics name it; empty for a caller inside this
        process.
    :param role: what it may do, once rules are made for roles; None for a caller without a role.
    """

    name: str = field(converter=_printable)
    peer: str = ""
    listener: str = ""
    role: str | None = None

    def __str__(self) -> str:
        return self.name


@frozen
class Terms:
    """How the bus treats a request.

    :param timeout: seconds from now after which the caller no longer wants an answer.
    :param serial: serial settings for the frame; None for those of the unit. A bus behind a socket ignores them.
    :param retries: how often the request may be sent again; None for what the configuration says for its class. For a
        write, any number but 0 means that the device may carry it out more than once.
    :param response_length: length of the reply's PDU in bytes, if the caller knows it; else 0. It is a hint, used for
        functions whose reply does not tell its length.
    :param priority: the lane in which the request waits for its turn; None means ``normal``. A write waits one lane
        higher, unless ``writes_first`` is off.
    :param max_age: for a read, the greatest age in seconds of a cached value that may answer it; 0 always reads anew;
        None for what the unit or the port is configured for.
    :param note: for a write, its meaning in the log, such as ``boiler.set_point 60 -> 65.5``.
    """

    timeout: float
    serial: SerialSettings | None = None
    retries: int | None = None
    response_length: int = 0
    priority: Priority | None = None
    max_age: float | None = None
    note: str = ""


def caller_of(client: object) -> Caller:
    """The caller of a client, which may be any object, as third-party protocols and programs name their clients freely.

    The caller is the client itself, or its attribute ``caller``. Otherwise the client gets one now: a text or a number
    gets one by value, any other object gets one that is kept as long as the object lives.
    """
    if isinstance(client, Caller):
        return client
    own = getattr(client, "caller", None)
    if isinstance(own, Caller):
        return own
    try:
        return _callers.setdefault(client, Caller(_name_of(client)))
    except TypeError:  # a text or a number
        return _caller_by_value(client)


_callers: Final[WeakKeyDictionary[object, Caller]] = WeakKeyDictionary()


@lru_cache(maxsize=1024)
def _caller_by_value(client: object) -> Caller:
    return Caller(_name_of(client))


def _name_of(client: object) -> str:
    """The text of the client; the name of its class if the class defines no text."""
    kind = type(client)
    has_text = kind.__str__ is not object.__str__ or kind.__repr__ is not object.__repr__
    return str(client) if has_text else kind.__name__
