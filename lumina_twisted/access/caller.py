"""Who asks, and how the request is to be treated, floor 1.

Both pass through whole, from whoever asks down to the bus. Everything that depends on who asks reads the caller: turns,
statistics, the log, refusals.
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
    """Whoever asks: a client's connection, a terminal, the poller, a program's pool.

    A caller is equal to itself only: turns are taken between callers, so two of the same name each have their own.

    :param name: what people read, such as ``192.168.1.7:40122`` or ``the poller``.
    :param peer: the address of its peer, without a port number; empty for one inside this process.
    :param listener: the listener that it is connected to, as the statistics name it; empty for one inside this process.
    :param role: what it may do, once rules are made for roles; None for one that has none.
    """

    name: str = field(converter=_printable)
    peer: str = ""
    listener: str = ""
    role: str | None = None

    def __str__(self) -> str:
        return self.name


@frozen
class Terms:
    """How a request is to be treated.

    :param timeout: seconds from now after which the caller wants no answer any more.
    :param serial: settings that the frame leaves with, if not the unit's; a bus behind a socket ignores them.
    :param retries: how often it may be sent again, if not what the configuration says for its class. For a write, any
        number but 0 means that the device may carry it out more than once.
    :param response_length: bytes of the reply's PDU as far as the caller knows; 0 if it does not. A hint, used for
        functions whose reply does not tell its length.
    :param priority: in which lane it waits for its turn; ``normal`` if it is not given. A write waits one lane higher,
        unless ``writes_first`` is off.
    :param max_age: for a read, how many seconds old a value may be that answers it; 0 for one that is read anew; what
        the unit or the port is configured for if it is not given.
    :param note: of a write, what it means, such as ``boiler.set_point 60 -> 65.5``, for the log.
    """

    timeout: float
    serial: SerialSettings | None = None
    retries: int | None = None
    response_length: int = 0
    priority: Priority | None = None
    max_age: float | None = None
    note: str = ""


def caller_of(client: object) -> Caller:
    """The caller that a client is, has as its ``caller``, or is given now: by value for a text or a number, for as long
    as it lives for another object. Protocols and programs of others name their clients by whatever they have."""
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
    """Its text; of what has none of its own, its kind."""
    kind = type(client)
    has_text = kind.__str__ is not object.__str__ or kind.__repr__ is not object.__repr__
    return str(client) if has_text else kind.__name__
