"""Values without a device, floor 4: for authors of programs and front-ends that use values by name."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, fail, succeed

from lumina_twisted.access.caller import Caller, caller_of
from lumina_twisted.devices.interfaces import LUMINA, Observer, PointDescription
from lumina_twisted.errors import NotWritable, RequestError, UnknownName
from lumina_twisted.modbus.values.codec import Value
from lumina_twisted.text import ON_OFF, did_you_mean, on_off
from lumina_twisted.valueproto.reading import Confirmed, Quality, Reading

ValueOutcome = Value | Reading | Confirmed | Exception | None
"""How a request for a value ends: with a value, a reading, a write that is confirmed but not read back, or an error;
None if the request waits until the test answers it."""


@define(eq=False)
class AskedValue:
    """One request; ``answer`` is the Deferred its caller holds.

    :param value: the value to write; None for a read.
    """

    caller: Caller
    name: str
    timeout: float
    value: Value | None
    answer: Deferred[Any] = field(factory=Deferred)

    @property
    def client(self) -> Caller:
        """The client that sent the request."""
        return self.caller


class MemoryValues:
    """Values of points in memory. Implements :class:`lumina_twisted.devices.interfaces.Values`.

    A request is answered at once: first with the outcomes of :meth:`then`. After them, it is answered as by a device
    that has the last value of :meth:`tell` and accepts writes.

    :param values: initial values by ``DEVICE.POINT``. A point without a description gets one that is guessed from its
        value.
    :param stamp: the time of the readings that it makes, in seconds since 1970.
    """

    def __init__(
        self, values: Mapping[str, Value | Reading | None], *descriptions: PointDescription,
        configs: Mapping[str, Mapping[str, Any]] | None = None, stamp: float = 1732467890.1234,
    ) -> None:
        self.stamp = stamp
        self.asked: list[AskedValue] = []
        self.configs = {device: dict(config) for device, config in (configs or {}).items()}
        self._points = {name: _guessed(name, value) for name, value in values.items()}
        self._points.update({one.name: one for one in descriptions})
        self._readings = {name: self._reading(values.get(name)) for name in self._points}
        self._history = {name: [reading] for name, reading in self._readings.items()}
        self._observers: dict[str, dict[object, Observer]] = {}
        self._next: deque[ValueOutcome] = deque()

    # -- what a test does

    def tell(self, name: str, value: Value | Reading | None) -> None:
        """Sets the value that the device has now; its watchers get the change."""
        reading = self._readings[name] = self._reading(value)
        self._history[name].append(reading)
        for observer in tuple(self._observers.get(name, {}).values()):
            observer(name, reading)

    def then(self, *outcomes: ValueOutcome) -> MemoryValues:
        """Adds the outcomes of the next requests and changes of a configuration, one for each."""
        self._next.extend(outcomes)
        return self

    def watched(self) -> list[str]:
        """The names of the values that have an observer."""
        return [name for name, observers in self._observers.items() if observers]

    # -- the interface

    def names(self, pattern: str = "*") -> list[str]:
        """See :class:`lumina_twisted.devices.interfaces.Values`, also for the methods below."""
        pattern = pattern.replace("[", "[[]")
        return [name for name in self._points if fnmatchcase(name, pattern)]

    def describe(self, name: str) -> PointDescription:
        """The description of a point."""
        return self._points[self._known(name)]

    def text(self, name: str, value: Value | None) -> str:
        """A value as text for a person."""
        self._known(name)
        if isinstance(value, bool):
            return on_off(value)
        return "-" if value is None else ",".join(value) if isinstance(value, tuple) else str(value)

    def reading(self, name: str) -> Reading:
        """The last reading of a point."""
        return self._readings[self._known(name)]

    def read(self, caller: Caller, name: str, timeout: float) -> Deferred[Reading]:
        """Reads a point from the device."""
        return self._ask(AskedValue(caller_of(caller), name, timeout, None))

    def write(self, caller: Caller, name: str, value: Value, timeout: float) -> Deferred[Confirmed]:
        """Writes a point."""
        return self._ask(AskedValue(caller_of(caller), name, timeout, value)).addCallback(_confirmed)

    def watch(self, observer: Observer, names: Iterable[str]) -> Callable[[], None]:
        """Calls ``observer`` with each change."""
        key, names = object(), [self._known(name) for name in names]
        for name in names:
            self._observers.setdefault(name, {})[key] = observer

        def end() -> None:
            for name in names:
                self._observers[name].pop(key, None)

        return end

    def history(self, name: str) -> Sequence[Reading]:
        """The changes of a point."""
        return tuple(self._history[self._known(name)])

    def devices(self) -> list[str]:
        """The names of the devices."""
        return list(dict.fromkeys([*(one.device for one in self._points.values()), *self.configs]))

    def config(self, device: str) -> Mapping[str, Any]:
        """The configuration of a device."""
        if device not in self.devices():
            raise UnknownName(f"there is no device {device!r}; {_near(device, self.devices())}")
        return self.configs.get(device, {})

    def configure(self, device: str, changes: Mapping[str, Any], caller: Caller = LUMINA) -> Deferred[None]:
        """Changes the configuration of a device."""
        try:
            self.config(device)
        except UnknownName:
            return fail()
        outcome = self._next.popleft() if self._next else True
        if isinstance(outcome, Exception):
            return fail(outcome)
        self.configs.setdefault(device, {}).update(changes)
        return succeed(None)

    # -- inside

    def _ask(self, asked: AskedValue) -> Deferred[Reading]:
        self.asked.append(asked)
        try:
            known = self.describe(asked.name)
            if asked.value is not None and not known.writable:
                raise NotWritable(f"{asked.name} cannot be written; its description says so")
            outcome = self._outcome(asked)
        except RequestError:
            return fail()
        if isinstance(outcome, Exception):
            asked.answer.errback(outcome)
        elif isinstance(outcome, Confirmed):
            self.tell(asked.name, outcome.reading)
            asked.answer.callback(outcome)
        elif outcome is not None:
            self.tell(asked.name, outcome)
            asked.answer.callback(self._readings[asked.name])
        return asked.answer

    def _outcome(self, asked: AskedValue) -> ValueOutcome:
        if self._next:
            return self._next.popleft()
        reading = self._readings[asked.name]
        if asked.value is None:
            return reading if reading.value is None else reading.value
        return self._parsed(asked.name, asked.value, reading.value)

    def _parsed(self, name: str, value: Value, like: Value | None) -> Value:
        """A text as a value of the same type as the point's current value."""
        if not isinstance(value, str) or like is None:
            return value
        try:
            return _PARSE[type(like)](value)
        except (KeyError, ValueError):
            raise RequestError(f"{value!r} is no value of {name}, such as {self.text(name, like)}") from None

    def _reading(self, value: Value | Reading | None) -> Reading:
        if isinstance(value, Reading):
            return value
        if value is None:
            return Reading(None, Quality.STALE, None, "it was not read yet")
        return Reading(value, Quality.GOOD, self.stamp)

    def _known(self, name: str) -> str:
        if name not in self._points:
            raise UnknownName(f"there is no value {name!r}; {_near(name, list(self._points))}")
        return name


def _confirmed(outcome: Reading | Confirmed) -> Confirmed:
    return outcome if isinstance(outcome, Confirmed) else Confirmed(outcome)


_PARSE: dict[type, Callable[[str], Value]] = {
    bool: lambda text: ON_OFF[text.lower()], int: int, float: float, str: str,
    tuple: lambda text: tuple(text.split(",")) if text else (),
}


def _guessed(name: str, value: Value | Reading | None) -> PointDescription:
    value = value.value if isinstance(value, Reading) else value
    types: dict[type, str] = {bool: "bool", float: "f32", str: "string", tuple: "bits"}
    return PointDescription(
        name=name, type=types.get(type(value), "u16"), writable=True, device=name.partition(".")[0], port="boiler",
        unit=1,
    )


def _near(name: str, known: list[str]) -> str:
    return did_you_mean(name, known, f"there are {', '.join(known[:20])}")
