"""Settings of a bus, floor 1. All times are seconds."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Final, Literal

import attrs
from attrs import Factory, field, frozen

from lumina_twisted.access.rules import Rules
from lumina_twisted.modbus.functions import BROADCAST
from lumina_twisted.modbus.settings import Baudrate, Parity, SerialSettings
from lumina_twisted.schema import Between, UnitId, setting

Seconds = Annotated[float, Between(0, 3600)]
Timeout = Seconds | Literal["auto"]
Retries = Annotated[int, Between(0, 100)]
Entries = Annotated[int, Between(0, 2000)]
Silences = Annotated[int, Between(0, 1000)]
EchoMode = Literal["off", "on", "auto"]
CanaryMode = Literal["diagnostics", "read", "off"]


@frozen
class Backoff:
    """Exponential backoff (M11): no pause before the first retry, ``initial`` before the second; each further pause is
    ``factor`` times as long as the one before."""

    initial: float
    factor: float

    def delay(self, attempts: int) -> float:
        """Seconds to wait after a number of failed ``attempts`` (1 or more)."""
        return 0.0 if attempts < 2 else self.initial * self.factor ** min(attempts - 2, 64)


@frozen(kw_only=True, slots=False)
class UnitWireSettings:
    """Settings for requests to one unit, where they differ from those of its port."""

    baudrate: Baudrate | None = setting(None, "speed at which this unit is asked", unit="baud")
    bytesize: Literal[7, 8] | None = setting(None, "data bits of its characters", unit="bits")
    parity: Parity | None = setting(None, "its parity")
    stopbits: Literal[1, 2] | None = setting(None, "its stop bits", unit="bits")
    timeout: Timeout | None = setting(None, 'response timeout of this unit; or "auto"', unit="s")
    frame_gap: Seconds | None = setting(None, "silence before a frame to this unit", unit="s")
    retries: Retries | None = setting(None, "how often a read of this unit is asked again")


@frozen(kw_only=True, slots=False)
class UnitSettings(UnitWireSettings):
    """All settings of one unit on a bus that differ from the port's. The port's setting holds where one is None."""

    max_age: Seconds | None = setting(
        None, "how old a value of this unit may be that answers a read which does not say itself", unit="s"
    )
    canary: CanaryMode | None = setting(None, "what the bus itself asks this unit after a missing reply")
    offline_after: Silences | None = setting(None, "unanswered attempts after which this unit is offline; 0: never")
    merge: bool | None = setting(None, "whether neighbouring reads of this unit are one block")
    merge_hole: Entries | None = setting(None, "what nobody asked for and may lie between two reads of a block of it")
    share: bool | None = setting(None, "whether equal reads of different clients are one transaction")


@frozen(kw_only=True)
class UnitPolicy:
    """The settings in force for one unit; see :class:`UnitSettings`, and :class:`BusSettings` for their meaning."""

    timeout: Timeout
    frame_gap: float | None
    retries: int
    max_age: float
    canary: CanaryMode
    offline_after: int
    merge: bool
    merge_hole: int
    share: bool


@frozen(kw_only=True, slots=False)
class BusSettings(SerialSettings):
    """How a bus takes turns, waits and retries."""

    timeout: Timeout = setting(
        0.5, "response timeout: how long the bus waits for a reply after a request's last byte; never less than"
        ' 1.5 x character time x expected length + 20 ms; "auto": learned from how long each unit takes, 1 s at most',
        unit="s",
    )
    frame_gap: Seconds | None = setting(
        None, "silence before every frame; not given: T3.5 of the baud rate; 0: a bus without wire time", unit="s"
    )
    turnaround: Seconds = setting(0.1, "silence after a broadcast, in which devices carry it out", unit="s")
    retries: Retries = setting(2, "how often a read without a reply is asked again")
    retry_writes: Retries = setting(
        0, "how often a write without a proof is sent again; it may then be carried out more than once"
    )
    backoff: Seconds = setting(0.1, "pause before the second retry of a request", unit="s")
    backoff_factor: Annotated[float, Between(1, 10)] = setting(1.5, "by what each further pause grows")
    share: bool = setting(
        True, "whether a read that waits answers those of other clients too that ask for the same or for a part of it"
    )
    merge: bool = setting(
        False, "whether neighbouring reads that wait are one block, where that saves time; what a device refuses as a"
        " block is asked apart"
    )
    merge_hole: Entries = setting(
        0, "registers, or bits, that nobody asked for and that may lie between two reads of a block"
    )
    max_age: Seconds = setting(
        0.0, "how old a value may be that answers a read which does not say itself; 0: it is always asked for", unit="s"
    )
    busy_retries: Retries | None = setting(
        None, "how often a read is asked again that a device answers by exception 05 or 06, which mean that it is busy;"
        " not given: 3 times, and not at all where `retries` is 0"
    )
    offline_after: Silences = setting(
        4, "unanswered attempts, one after the other, after which a unit is offline: until it answers one request that"
        " is let through every 10 s or sooner, the others are refused at once; 0: never",
    )
    canary: CanaryMode = setting(
        "diagnostics", "what the bus itself asks after a missing reply, to prove that it does not come any more:"
        " diagnostics (function 8, which touches no register), read (a register), or off: then a reply that is later"
        " than its late window is taken for another's",
    )
    writes_first: bool = setting(True, "whether a write goes before reads of its own priority")
    unit_0: Literal["broadcast", "device"] = setting(
        "broadcast", "what unit 0 is: every device, which nobody answers for; or, behind Modbus TCP only, a device like"
        " any other unit, which is read and whose answer proves a write"
    )
    echo: EchoMode = setting("auto", "whether the adapter hears what it sends: off, on, or auto to find out")
    bits_per_character: Annotated[int, Between(10, 12)] = setting(
        11, "what a character counts in the times above; the specification says 11", unit="bits"
    )
    connect_delay: Seconds = setting(0.0, "silence between opening the port and the first frame", unit="s")
    queue: Annotated[int, Between(1, 100_000)] = setting(1000, "requests that may wait for this port")
    queue_per_client: Annotated[int, Between(1, 100_000)] = setting(100, "of those, requests of one client")
    allow: tuple[str, ...] = setting(
        (), 'what may be asked, as "read * holding 0-99", "write 2 coil 0-7,16", "any 1-20" or "function 43 *"; not'
        " given: everything",
    )
    deny: tuple[str, ...] = setting(
        (), 'what may not be asked although it is allowed, as "write * holding 100-199"; a request that touches any of'
        " it is refused as a whole",
    )
    units: dict[UnitId, UnitSettings] = field(
        default=Factory(dict), metadata={"doc": "what differs for single units, by unit identifier", "unit": ""}
    )

    @cached_property
    def rules(self) -> Rules:
        """The access rules.

        :raises RequestError: if a text is no rule; see :func:`~lumina_twisted.access.rules.rule_faults`.
        """
        return Rules(self.allow, self.deny, self.is_broadcast(BROADCAST))

    def is_broadcast(self, unit: int) -> bool:
        """Whether a request to this unit is a broadcast: every device gets it, and none answers."""
        return unit == BROADCAST and self.unit_0 == "broadcast"

    @cached_property
    def merges(self) -> bool:
        """Whether reads of any unit are merged."""
        return self.merge or any(one.merge for one in self.units.values())

    @cached_property
    def answers_from_old(self) -> bool:
        """Whether the configuration allows old values as answers to reads of any unit that do not set ``max_age``."""
        return bool(self.max_age) or any(one.max_age for one in self.units.values())

    @cached_property
    def serial(self) -> SerialSettings:
        """The serial settings of a request that does not bring its own."""
        return SerialSettings(
            baudrate=self.baudrate, bytesize=self.bytesize, parity=self.parity, stopbits=self.stopbits
        )

    @cached_property
    def own_serials(self) -> dict[int, SerialSettings]:
        """The serial settings of the units that have their own, by unit."""
        own = {unit: {key: getattr(one, key) for key in _SERIAL_KEYS if getattr(one, key) is not None}
               for unit, one in self.units.items()}
        return {unit: attrs.evolve(self.serial, **keys) for unit, keys in own.items() if keys}

    def serial_for(self, unit: int) -> SerialSettings:
        """The serial settings of a request to ``unit`` that does not bring its own."""
        return self.own_serials.get(unit, self.serial)

    def for_unit(self, unit: int) -> UnitPolicy:
        """The settings in force for one unit: its own, and the port's where it has none."""
        own = self.units.get(UnitId(unit))
        key = unit if own is not None else _OTHERS
        policy = self._policies.get(key)
        if policy is None:
            policy = self._policies[key] = self._policy(own or _NOTHING_OWN)
        return policy

    @cached_property
    def _policies(self) -> dict[int, UnitPolicy]:
        return {}

    def _policy(self, own: UnitSettings) -> UnitPolicy:
        names = [one.name for one in attrs.fields(UnitPolicy)]
        return UnitPolicy(**{
            name: getattr(self, name) if getattr(own, name) is None else getattr(own, name) for name in names
        })


_OTHERS: Final = -1
"""The key for all units without settings of their own."""
_NOTHING_OWN = UnitSettings()
_SERIAL_KEYS = tuple(one.name for one in attrs.fields(SerialSettings))
