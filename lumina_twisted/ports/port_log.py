"""What a port writes to the log, and its observers. Floor 2.

Every request passes its port, which knows the client, what it asks for, and how the request ends. So the port logs each
write as one line, whichever front-end it came through. Frequent writes of one client to the same place are folded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from lumina_twisted.access.caller import Caller
from lumina_twisted.bus.events import Finding, HealthChange, Request, Sample, UnitState
from lumina_twisted.bus.health import LONGEST_INTERVAL
from lumina_twisted.bus.noise import FIRST_LOOK, LOOK_EVERY, NoiseWatch
from lumina_twisted.errors import (
    FrameError,
    LuminaError,
    ModbusError,
    ModbusException,
    NotAllowed,
    NotSent,
    RequestError,
)
from lumina_twisted.modbus.access import Access
from lumina_twisted.modbus.functions import BROADCAST, accesses, is_read
from lumina_twisted.ports.interfaces import HealthObserver, SampleObserver

_FINDINGS: Final = {
    "doubled": "unit {unit} answers a request twice, or something before it repeats its replies; from now on each of"
    " its replies is followed by a pause in which the copy may come, so that it is not taken for the next reply; check"
    " the retries of the converter, and that no two units share an address",
    "other_master": "another master asks unit {unit} on this bus; replies that may be its are not used, which costs"
    " time; let it ask through Lumina (rtu-serial, rtu-pty), or take it off the bus",
}
"""What each finding means, and what to do."""


class PortLog:
    """The log of one port, and its observers. An exception that an observer raises is logged and has no other effect.

    ``fold`` identifies lines that repeat the same event: a dead device that is asked every second must not fill a disk.

    :param name: of the port.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._log = Logger(namespace=f"lumina.port.{name}")
        self.health_observers: list[HealthObserver] = []
        self.sample_observers: list[SampleObserver] = []
        self.sample: Callable[[Sample], None] = partial(self._notify, self.sample_observers)
        """Takes a sample of a device's state, for the observers."""

    def state(self, state: str, is_in_order: bool, folds: bool = False) -> None:
        """The port's state changed. ``folds`` says whether the port enters this state again and again."""
        level = LogLevel.info if is_in_order else LogLevel.warn
        fold = state if folds else None
        self._log.emit(level, "{port}: {state}", port=self._name, state=state, fold=fold)

    def lost(self, why: str) -> None:
        """A connection ended, and the next one is made at once."""
        self._log.info("{port}: {why}; it connects again", port=self._name, why=why, fold=why)

    def refused(self, client: str, fault: str, error: NotAllowed) -> None:
        """The port's rules refused a request. A client that repeats it may be faulty or hostile."""
        self._log.info(
            "{port}: refused to {client}, {fault}", port=self._name, client=client, fault=fault, unit=error.unit,
            function=error.function_code, kind=error.token, fold=(error.unit, error.function_code, error.token),
        )

    def failed(self, request: Request, error: ModbusError) -> None:
        """A request failed on the bus. Mistakes of callers are not logged: the caller gets the error."""
        if isinstance(error, RequestError):
            return
        function = request.pdu[0]
        self._log.emit(
            LogLevel.info if isinstance(error, NotSent | ModbusException) else LogLevel.warn, "{port}: {error}",
            port=self._name, error=str(error), unit=request.unit, function=function, kind=error.token,
            fold=(request.unit, function, error.token),
        )

    def health(self, change: HealthChange) -> None:
        """A unit went offline or came back online."""
        if change.state is UnitState.OFFLINE:
            self._log.warn(
                "{port}: unit {unit} is offline, it does not answer; until it does only one request in"
                " {interval:g} s is let through to it", port=self._name, unit=change.unit, interval=LONGEST_INTERVAL,
            )
        else:
            self._log.info("{port}: unit {unit} is online again", port=self._name, unit=change.unit)
        self._notify(self.health_observers, change)

    def noise(self, unit: int, is_wrong: bool, sentence: str) -> None:
        """Attempts to a unit fail again and again, or no longer do."""
        self._log.emit(
            LogLevel.warn if is_wrong else LogLevel.info, "{sentence}", sentence=sentence, port=self._name, unit=unit,
            fold=("noise", unit),
        )

    def finding(self, finding: Finding) -> None:
        """The bus found something out about a unit, for the first time."""
        self._log.warn("{port}: " + _FINDINGS[finding.kind], port=self._name, unit=finding.unit)

    def frame(self, direction: str, data: bytes) -> None:
        """Bytes were sent (``>``) or received (``<``)."""
        self._log.debug("{port} {direction} {frame}", port=self._name, direction=direction, frame=data.hex(" "))

    def _notify(self, observers: Iterable[Callable[[Any], object]], what: Any) -> None:
        for observer in list(observers):
            try:
                observer(what)
            except Exception:
                self._log.failure("{port}: {observer} failed", port=self._name, observer=observer)


class NoiseTimer:
    """Checks the faults of one bus while there are any. On a bus without faults no delayed call is pending.

    :param clock: for the delayed call.
    :param now: the bus's time.
    :param report: called with a unit, whether something is wrong with it, and a sentence.
    """

    def __init__(
        self, watch: NoiseWatch, clock: Any, now: Callable[[], float], report: Callable[[int, bool, str], None]
    ) -> None:
        self._watch = watch
        self._clock = clock
        self._now = now
        self._report = report
        self._call: IDelayedCall | None = None
        watch.on_begin = self._begin

    def stop(self) -> None:
        """Stops the checks until something fails again."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _begin(self) -> None:
        if self._call is None:
            self._call = self._clock.callLater(FIRST_LOOK, self._look)

    def _look(self) -> None:
        self._call = None
        for unit, is_wrong, sentence in self._watch.look(self._now()):
            self._report(unit, is_wrong, sentence)
        if self._watch.is_watching:
            self._call = self._clock.callLater(LOOK_EVERY, self._look)


_NAMES: Final = {"coil": "coil", "holding": "holding register"}
_MOST_SHOWN: Final = 8
"""How many values of a write the log shows; a write may have 123 registers."""
_log: Final = Logger(namespace="lumina.writes")


class WriteLog:
    """The writes of one port.

    :param port: its name.
    """

    def __init__(self, port: str) -> None:
        self._port = port

    def follow(self, caller: Caller, unit: int, pdu: bytes, note: str, asked: Deferred[bytes]) -> Deferred[bytes]:
        """Logs how a request ends, if it is a write.

        :param note: what the write means, if that is known.
        :return: ``asked``; its result is unchanged.
        """
        if pdu and not is_read(pdu):
            asked.addBoth(self._ended, caller.name, unit, pdu, note)
        return asked

    def _ended(self, result: Any, client: str, unit: int, pdu: bytes, note: str) -> Any:
        if isinstance(result, Failure) and result.check(NotAllowed):
            return result  # logged already, with the rule
        kind, outcome = _outcome(result, unit)
        place, address = _what(pdu)
        _log.info(
            "write by {client} on {port}, unit {unit}: {what}; {outcome}", client=client, port=self._port, unit=unit,
            what=f"{note} ({place})" if note else place, outcome=outcome, function=pdu[0], address=address, kind=kind,
            fold=(self._port, client, unit, pdu[0], address, kind),
        )
        return result


def _outcome(result: Any, unit: int) -> tuple[str, str]:
    """How a write ended: as a token, and as text for people."""
    if not isinstance(result, Failure):
        return ("sent", "sent to all units") if unit == BROADCAST else ("confirmed", "confirmed")
    error = result.value
    kind = error.token if isinstance(error, LuminaError) else LuminaError.token
    return kind, f"{kind}, {error}"


def _what(pdu: bytes) -> tuple[str, int | None]:
    """What a write sets, as text, and its first address; None if it writes to no table."""
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
