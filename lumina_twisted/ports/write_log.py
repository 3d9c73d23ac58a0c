"""One line of the log for each write, whoever asked for it and through which front, floor 2.

Every request passes its port, which knows who asked, what for and how it ended; so it is told here and nowhere else.
The same client's writes to the same place are folded when they are frequent. A request that leaves the device as it was
is not told.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from lumina_twisted.access.caller import Caller
from lumina_twisted.errors import FrameError, LuminaError, NotAllowed
from lumina_twisted.modbus.access import Access
from lumina_twisted.modbus.functions import BROADCAST, accesses, is_read

_NAMES: Final = {"coil": "coil", "holding": "holding register"}
_MOST_SHOWN: Final = 8
"""Entries of a write that are shown; of 123 registers the first tell enough."""
_log: Final = Logger(namespace="lumina.writes")


class WriteLog:
    """The writes of one port.

    :param port: its name.
    """

    def __init__(self, port: str) -> None:
        self._port = port

    def follow(self, caller: Caller, unit: int, pdu: bytes, note: str, asked: Deferred[bytes]) -> Deferred[bytes]:
        """Has it told how a request ends, if that is a write.

        :param note: what the write means, where that is known.
        :return: ``asked``, which ends as if nothing had been there.
        """
        if pdu and not is_read(pdu):
            asked.addBoth(self._ended, caller.name, unit, pdu, note)
        return asked

    def _ended(self, result: Any, client: str, unit: int, pdu: bytes, note: str) -> Any:
        if isinstance(result, Failure) and result.check(NotAllowed):
            return result  # the port has told it, with its rule
        kind, outcome = _outcome(result, unit)
        place, address = _what(pdu)
        _log.info(
            "write by {client} on {port}, unit {unit}: {what}; {outcome}", client=client, port=self._port, unit=unit,
            what=f"{note} ({place})" if note else place, outcome=outcome, function=pdu[0], address=address, kind=kind,
            fold=(self._port, client, unit, pdu[0], address, kind),
        )
        return result


def _outcome(result: Any, unit: int) -> tuple[str, str]:
    """The word for it, and what a person reads."""
    if not isinstance(result, Failure):
        return ("sent", "sent to all units") if unit == BROADCAST else ("confirmed", "confirmed")
    error = result.value
    kind = error.token if isinstance(error, LuminaError) else LuminaError.token
    return kind, f"{kind}, {error}"


def _what(pdu: bytes) -> tuple[str, int | None]:
    """What a write sets, for a person; and where that begins, if it is in a table."""
    try:
        done = next(one for one in accesses(pdu) if one.writes)
    except (FrameError, StopIteration):
        return f"function {pdu[0]} of {len(pdu)} bytes", None
    if done.table is None:
        return f"function {pdu[0]}", None
    return f"{_place(done)}{_values(done)}", done.first


def _place(done: Access) -> str:
    name = _NAMES.get(done.table or "", str(done.table))
    return f"{name} {done.first}" if done.end == done.first + 1 else f"{name}s {done.first} to {done.end - 1}"


def _values(done: Access) -> str:
    if done.values is None:
        return ""
    shown = " ".join(map(str, done.values[:_MOST_SHOWN]))
    return f" = {shown}{' …' if len(done.values) > _MOST_SHOWN else ''}"
