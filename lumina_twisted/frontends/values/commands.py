"""The commands of the value lines, floor 4: each reads or writes values, and makes an answer of the result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Final, TypeVar

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError, Deferred, gatherResults, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from lumina_twisted.access.caller import Caller
from lumina_twisted.awaiting import Semaphore
from lumina_twisted.devices.interfaces import Values
from lumina_twisted.errors import Cancelled, Expired, LuminaError, NotAllowed, RequestError, UnknownName
from lumina_twisted.frontends.listener import ListenerOptions
from lumina_twisted.schema import Between, setting
from lumina_twisted.valueproto import answer as answers
from lumina_twisted.valueproto import command as commands
from lumina_twisted.valueproto.answer import Answer, NamedFault, NamedReading, reason_of, refused
from lumina_twisted.valueproto.command import WORDS, Command
from lumina_twisted.valueproto.reading import Confirmed, Reading

T = TypeVar("T")
NO_DEVICES: Final = (
    "no device is described; describe some in the configuration, as [devices.NAME] with a port, a unit and a profile"
)
MOST_PATTERNS: Final = 50
_WILD: Final = frozenset("*?")
"""The characters of patterns."""
_MEANINGS: Final = {
    "list": "which values there are",
    "read": "what is known of them",
    "read!": "the same, asked of the device now",
    "write": "set a value; answered when the device has confirmed it",
    "watch": "what is known of them, and from then on each change",
    "unwatch": "no more changes, of these or of all",
    "history": "its last changes, the oldest first",
    "describe": "what it is: type, unit of measure, range, words",
    "config": "what is configured for a device; change it",
    "format": "how answers are written; json is one object a line",
    "stats": "what was counted",
    "help": "this",
    "bye": "leave when all is answered",
}
HELP: Final = (
    "A line is a word and its arguments, and gets an answer",
    *(f"{usage:<28} {_MEANINGS[word]}" for word, usage in WORDS.items()),
    "NAME is DEVICE.POINT. read, read! and watch take patterns: * for any characters, ? for one, as in boiler.*",
    "A VALUE with blanks stands in quotation marks",
    "@TAG before a line stands before each line of its answer; what has a tag is answered when it is ready",
    "A reading is NAME VALUE UNIT QUALITY TIME [WHY]; quality is good, stale or bad",
)


@define(eq=False)
class ValueCommands:
    """The commands about values.

    :param values: None if no device is described.
    :param now: a monotonic clock, in seconds.
    :param stats: returns the figures of ``stats``, without those of the values.
    """

    values: Values | None
    options: ValuesOptions
    now: Callable[[], float]
    stats: Callable[[], Mapping[str, Mapping[str, int]]]
    log: Logger = field(factory=Logger)

    # -- answered at once

    def answer(self, command: Command) -> Answer:
        """The answer to a command that asks no device, without its tag."""
        try:
            return _AT_ONCE[type(command)](self, command)
        except LuminaError as error:
            return refused(error)

    def readings(self, names: Sequence[str]) -> Iterator[NamedReading | NamedFault]:
        """The readings of some points, in the order of ``names``; a name that is a pattern gives all points that match.
        """
        known = self.known()
        for name in self._found(names):
            if isinstance(name, NamedFault):
                yield name
                continue
            try:
                yield self._named(name, known.reading(name))
            except LuminaError as error:
                yield NamedFault(name, *reason_of(error))

    def unit_of_measure(self, name: str) -> str:
        """The unit of measure of a point.

        :raises UnknownName: if there is no point of that name.
        """
        return self.known().describe(name).unit_of_measure

    def text(self, name: str, value: Any) -> str:
        """A value as text for a person."""
        return self.known().text(name, value)

    def known(self) -> Values:
        """Returns the values.

        :raises RequestError: if no device is described.
        """
        if self.values is None:
            raise RequestError(NO_DEVICES)
        return self.values

    def _named(self, name: str, reading: Reading) -> NamedReading:
        return NamedReading(name, reading, self.known().describe(name).unit_of_measure)

    def _found(self, names: Sequence[str]) -> Iterable[str | NamedFault]:
        """The names to which ``names`` expand, each once.

        :raises RequestError: if too many of them are patterns.
        """
        if all(map(_WILD.isdisjoint, names)):
            return dict.fromkeys(names)
        found: dict[str | NamedFault, None] = {}
        check_patterns(names)
        for name in names:
            if not is_pattern(name):
                found[name] = None
            elif matching := self.known().names(name):
                found.update(dict.fromkeys(matching))
            else:
                found[NamedFault(name, UnknownName.token, _unlike(name))] = None
        return found

    def _list(self, command: commands.List) -> Answer:
        values, pattern = self.known(), command.pattern
        names = values.names(pattern)
        if not names and pattern not in ("*", "*.*"):
            if not is_pattern(pattern):
                values.describe(pattern)  # raises an error that suggests a similar name
            raise UnknownName(_unlike(pattern))
        return answers.Points(tuple(map(values.describe, names)))

    def _read(self, command: commands.Read) -> Answer:
        return one_or_many(*self.readings(command.names))

    def _history(self, command: commands.History) -> Answer:
        changes = self.known().history(command.name)
        if command.count is not None:
            changes = changes[-command.count :]
        return answers.Past(tuple(self._named(command.name, one) for one in changes))

    def _describe(self, command: commands.Describe) -> Answer:
        return answers.Described(self.known().describe(command.name))

    def _config(self, command: commands.Config) -> Answer:
        return answers.Configured(command.device, self.known().config(command.device))

    def _stats(self, _: commands.Stats) -> Answer:
        return answers.Figures({**self.stats(), **self._qualities()})

    def _help(self, _: commands.Help) -> Answer:
        return answers.Hints(HELP)

    def _qualities(self) -> dict[str, dict[str, int]]:
        """The counts of devices, of points, and of points by quality."""
        if self.values is None:
            return {}
        counts = {"devices": len(self.values.devices()), "points": 0, "good": 0, "stale": 0, "bad": 0}
        for name in self.values.names():
            counts["points"] += 1
            counts[self.values.reading(name).quality] += 1
        return {"values": counts}

    # -- answered by a device, or by the owner of the configuration

    def ask(self, caller: Caller, turns: Semaphore, command: Command) -> Deferred[Answer] | None:
        """Starts a command that waits for a device or the configuration; None for any other command.

        :param caller: the client that sent the command.
        :param turns: limits how many of the client's values are requested at a time; they are requested in order.
        :return: a Deferred that fires with the answer, without its tag. Cancelling it cancels what waits.
        """
        asked: Deferred[Answer]
        match command:
            case commands.Read(ask=True):
                asked = maybeDeferred(self._ask, caller, turns, command)
            case commands.Write():
                asked = maybeDeferred(self._write, caller, turns, command)
            case commands.Config(changes=changes) if changes:
                asked = maybeDeferred(self._configure, caller, turns, command)
            case _:
                return None
        return asked.addErrback(self._refusal)

    def _ask(self, caller: Caller, turns: Semaphore, command: commands.Read) -> Deferred[Answer]:
        values = self.known()
        asked: list[Deferred[NamedReading | NamedFault]] = []
        for name in self._found(command.names):
            if isinstance(name, NamedFault):
                asked.append(succeed(name))
            else:
                one = self._in_turn(turns, name, partial(values.read, caller, name))
                asked.append(one.addCallback(partial(self._named, name)).addErrback(partial(self._fault, name)))
        if len(asked) == 1:
            return asked[0].addCallback(one_or_many)
        return gatherResults(asked).addCallback(lambda values: one_or_many(*values))

    def _write(self, caller: Caller, turns: Semaphore, command: commands.Write) -> Deferred[Answer]:
        if self.options.readonly:
            raise NotAllowed("this listener only reads; `readonly = false` in its configuration would let it write")
        write = partial(self.known().write, caller, command.name, command.value)
        return self._in_turn(turns, command.name, write).addCallback(partial(self._written, command.name))

    def _written(self, name: str, confirmed: Confirmed) -> Answer:
        return answers.Written(self._named(name, confirmed.reading), confirmed.not_read_back)

    def _in_turn(self, turns: Semaphore, name: str, ask: Callable[[float], Deferred[T]]) -> Deferred[T]:
        """Calls ``ask`` when the semaphore has a slot, with the part of the timeout that is left then."""
        until = self.now() + self.options.timeout

        def begin() -> Deferred[T]:
            left = until - self.now()
            if left <= 0:
                raise Expired(f"{name} had no turn within {self.options.timeout:g} s; ask for fewer at a time")
            return ask(left)

        return turns.run(begin)

    def _configure(self, caller: Caller, turns: Semaphore, command: commands.Config) -> Deferred[Answer]:
        values = self.known()
        if self.options.readonly or not self.options.configure:
            raise NotAllowed(
                "this listener does not change what is configured; `configure = true` and `readonly = false` in its"
                " configuration would let it"
            )
        done = turns.run(values.configure, command.device, command.changes, caller)
        return done.addCallback(lambda _: self._config(command))

    # -- errors

    def _fault(self, name: str, failure: Failure) -> NamedFault:
        return NamedFault(name, *self._reason(failure))

    def _refusal(self, failure: Failure) -> Answer:
        return answers.Refused(*self._reason(failure))

    def _reason(self, failure: Failure) -> tuple[str, str]:
        if isinstance(failure.value, LuminaError):
            return reason_of(failure.value)
        if failure.check(CancelledError):
            return Cancelled.token, "the client left"
        self.log.failure("a value line failed within Lumina", failure)
        return LuminaError.token, f"{type(failure.value).__name__} within Lumina, its log says more"


_AT_ONCE: Final[dict[type[Command], Callable[[ValueCommands, Any], Answer]]] = {
    commands.List: ValueCommands._list,
    commands.Read: ValueCommands._read,
    commands.History: ValueCommands._history,
    commands.Describe: ValueCommands._describe,
    commands.Config: ValueCommands._config,
    commands.Stats: ValueCommands._stats,
    commands.Help: ValueCommands._help,
}


def is_pattern(name: str) -> bool:
    """Whether a name may match several names."""
    return not _WILD.isdisjoint(name)


def check_patterns(names: Iterable[str]) -> None:
    """Checks the number of patterns: each is compared with every name, which costs time.

    :raises RequestError: if there are too many patterns.
    """
    count = sum(map(is_pattern, names))
    if count > MOST_PATTERNS:
        raise RequestError(f"{count} patterns are too many; write {MOST_PATTERNS} a line at most")


def _unlike(pattern: str) -> str:
    return f"no value is named like {pattern!r}; list tells all names"


def one_or_many(*values: NamedReading | NamedFault) -> Answer:
    """The answer for several readings and faults. A single fault becomes a refusal of the whole line."""
    if len(values) == 1 and isinstance(values[0], NamedFault):
        return answers.Refused(values[0].error, values[0].message)
    return answers.Readings(values)


@frozen(kw_only=True, slots=False)
class ValuesOptions(ListenerOptions):
    """What the clients of a listener of named values may do, and their limits."""

    timeout: Annotated[float, Between(0.05, 3600)] = setting(
        5.0, "how long a client waits for a device: read!, write", unit="s"
    )
    readonly: bool = setting(False, "refuse to write values and to change the configuration of devices")
    configure: bool = setting(
        False, "whether config may change how often a device is read and how it is told; where it is, its points and"
        " what may be written only if the file says `configurable = true` of the device",
    )
    max_watched: Annotated[int, Between(1, 1_000_000)] = setting(10_000, "values that one client may watch")
    max_asked: Annotated[int, Between(1, 1000)] = setting(
        32, "values that are asked of their devices for one client at the same time; its others wait for these"
    )
    stalled_after: Annotated[float, Between(0.1, 1_000_000)] = setting(
        30.0, "a client that has not taken what was written to it for so long is dropped", unit="s"
    )
