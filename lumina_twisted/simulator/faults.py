"""The faults of a simulated bus, floor 2: by kind and rate, and the same in every run with the same seed.

Each :class:`Fault` is one kind: its settings, and its effect on an :class:`Exchange`, which is one request and its
reply. Every fault has its own random numbers, and draws once for each request that it could hit. So the same requests
get the same faults, and an additional fault does not change the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from typing import Annotated, ClassVar, Final, Literal

from attrs import Factory, define, field, frozen

from lumina_twisted.bus.settings import Seconds
from lumina_twisted.framing.rtu import t3_5, wire_time
from lumina_twisted.modbus.functions import BROADCAST
from lumina_twisted.schema import Between, setting

Byte = Annotated[int, Between(0, 255)]
Count = Annotated[int, Between(1, 1_000_000_000)]
JunkLength = Annotated[int, Between(1, 256)]


@define
class Exchange:
    """One request, and the effects of faults on it and on its reply.

    :param unit: the unit that the request is sent to, and ``pdu`` its PDU.
    :param quiet: seconds of silence on the bus before it.
    :param is_understood: whether the device receives the request and carries it out.
    :param is_answered: whether the reply reaches the wire.
    :param exception: the code of the exception that the device replies with; 0: none.
    :param reply_unit: the unit identifier of the reply.
    :param is_echoed: whether the gateway receives its own request first, as an echo.
    :param reply_pdu: the reply before faults; ``reply`` has the bytes of its frame after faults.
    :param junk_before: junk bytes directly before the reply; ``junk_after``: directly after it.
    :param delay: extra seconds before the reply.
    :param is_deaf: whether the device loses requests that come during that delay.
    :param begins: seconds from the request's end to the reply; None: T3.5 and the device time.
    :param copies: how often the device sends the reply.
    :param copy_after: seconds from one copy's end to the next, beyond T3.5.
    :param faults: the kinds of the faults that were applied.
    """

    unit: int
    pdu: bytes
    quiet: float
    is_understood: bool = True
    is_answered: bool = True
    exception: int = 0
    reply_unit: int = field(default=Factory(lambda self: self.unit, takes_self=True))
    is_echoed: bool = False
    reply_pdu: bytes = b""
    reply: bytes = b""
    junk_before: bytes = b""
    junk_after: bytes = b""
    delay: float = 0.0
    is_deaf: bool = False
    begins: float | None = None
    copies: int = 1
    copy_after: float = 0.0
    faults: list[str] = Factory(list)

    def ready(self, speed: int, device_time: float, wait: float = 0.0) -> float:
        """Seconds from the request's end until the device replies, or would reply.

        :param speed: the speed of the wire in baud; 0: bytes take no time.
        :param wait: seconds until the device starts on the request, because it replies in order.
        """
        usual = wait + (t3_5(speed) if speed else 0.0) + device_time
        return self.delay + (usual if self.begins is None else max(self.begins, wait))

    def sent(self, speed: int, device_time: float, wait: float = 0.0) -> list[tuple[float, bytes]]:
        """The frames that the device sends, each with the seconds from the request's end to its first byte. For the
        parameters see :meth:`ready`."""
        if not (self.is_answered and self.reply):
            return []
        first = self.ready(speed, device_time, wait)
        data = self.junk_before + self.reply + self.junk_after
        each = self.copy_after + (t3_5(speed) + wire_time(speed, len(data)) if speed else 0.0)
        return [(first + number * each, data) for number in range(self.copies)]


@frozen(kw_only=True, slots=False)
class Fault:
    """One kind of fault, which hits some of the requests."""

    kind: ClassVar[str] = ""
    is_of_replies: ClassVar[bool] = True
    """Whether the fault needs a reply; a broadcast has none."""

    rate: Annotated[float, Between(0, 1)] | None = setting(
        None, "how many of the requests it hits: 0 none, 1 all; not given: those that every says"
    )
    every: Count | None = setting(None, "instead of rate: 40 hits the 40th request, the 80th and so on")

    def __attrs_post_init__(self) -> None:
        if (self.rate is None) == (self.every is None):
            raise ValueError("give either rate, from 0 to 1, or every, as in every = 40")

    def hits(self, exchange: Exchange, dice: Dice) -> bool:
        """Whether the fault hits this request."""
        dice.throws += 1
        if self.every is not None:
            return dice.throws % self.every == 0
        return dice.random.random() < (self.rate or 0.0)

    def on_request(self, exchange: Exchange, random: Random) -> None:
        """Changes the exchange before the device receives the request."""

    def on_reply(self, exchange: Exchange, random: Random) -> None:
        """Changes the exchange when the reply is ready."""


def _check_order(least: float, most: float) -> None:
    if least > most:
        raise ValueError(f"least is {least:g}, which is more than most, {most:g}")


@frozen(kw_only=True, slots=False)
class Silence(Fault):
    """No reply."""

    kind = "silence"

    carried_out: bool = setting(True, "whether the device has done what was asked, so that only its reply is lost")

    def on_request(self, exchange: Exchange, random: Random) -> None:
        exchange.is_answered = False
        exchange.is_understood = exchange.is_understood and self.carried_out


@frozen(kw_only=True, slots=False)
class Refusal(Fault):
    """The device replies with an exception and does not carry the request out."""

    kind = "exception"

    code: Annotated[int, Between(1, 255)] = setting(4, "the exception's code")

    def on_request(self, exchange: Exchange, random: Random) -> None:
        exchange.is_understood = False
        exchange.exception = self.code


@frozen(kw_only=True, slots=False)
class Gap(Fault):
    """The device does not understand a request that comes too soon after the last byte on the bus."""

    kind = "gap"
    is_of_replies = False

    seconds: Seconds = setting(0.01, "the silence that is needed", unit="s")

    def hits(self, exchange: Exchange, dice: Dice) -> bool:
        return super().hits(exchange, dice) and exchange.quiet < self.seconds  # draws in any case

    def on_request(self, exchange: Exchange, random: Random) -> None:
        exchange.is_understood = exchange.is_answered = False


@frozen(kw_only=True, slots=False)
class Delay(Fault):
    """The reply comes later than usual, by a random time."""

    kind = "delay"

    least: Seconds = setting(0.0, "the shortest delay", unit="s")
    most: Seconds = setting(0.1, "the longest delay", unit="s")

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        _check_order(self.least, self.most)

    def on_reply(self, exchange: Exchange, random: Random) -> None:
        exchange.delay += random.uniform(self.least, self.most)


@frozen(kw_only=True, slots=False)
class Late(Fault):
    """The reply begins at a given time after the request's end, when the gateway no longer waits for it."""

    kind = "late"

    after: Seconds = setting(0.75, "time from the request's end to the reply", unit="s")

    def on_reply(self, exchange: Exchange, random: Random) -> None:
        exchange.begins = self.after


@frozen(kw_only=True, slots=False)
class Busy(Fault):
    """The device is busy before it replies. Requests to it in that time are answered later in order, or are lost."""

    kind = "busy"

    seconds: Seconds = setting(1.2, "how long it is busy", unit="s")
    deaf: bool = setting(False, "whether it hears nothing meanwhile: what it is sent is neither done nor answered")

    def on_request(self, exchange: Exchange, random: Random) -> None:
        exchange.delay += self.seconds
        exchange.is_deaf = exchange.is_deaf or self.deaf


@frozen(kw_only=True, slots=False)
class Corrupt(Fault):
    """One bit of the reply is wrong, and so is its CRC."""

    kind = "corrupt"

    def on_reply(self, exchange: Exchange, random: Random) -> None:
        if exchange.reply:
            frame = bytearray(exchange.reply)
            frame[random.randrange(len(frame))] ^= 1 << random.randrange(8)
            exchange.reply = bytes(frame)


@frozen(kw_only=True, slots=False)
class Truncate(Fault):
    """The reply breaks off after one byte or more."""

    kind = "truncate"

    def on_reply(self, exchange: Exchange, random: Random) -> None:
        if len(exchange.reply) > 1:
            exchange.reply = exchange.reply[: random.randrange(1, len(exchange.reply))]


@frozen(kw_only=True, slots=False)
class WrongUnit(Fault):
    """The reply has the address of another unit."""

    kind = "wrong_unit"

    unit: Byte | None = setting(None, "whose address; not given: one that is drawn")

    def on_request(self, exchange: Exchange, random: Random) -> None:
        drawn = (exchange.reply_unit + random.randrange(1, 256)) % 256
        exchange.reply_unit = drawn if self.unit is None else self.unit


@frozen(kw_only=True, slots=False)
class Echo(Fault):
    """The gateway receives its own request before the reply."""

    kind = "echo"

    def on_reply(self, exchange: Exchange, random: Random) -> None:
        exchange.is_echoed = True


@frozen(kw_only=True, slots=False)
class Junk(Fault):
    """Random bytes directly before or after the reply."""

    kind = "junk"

    where: Literal["before", "after", "both"] = setting("before", "on which side of the reply: before, after or both")
    least: JunkLength = setting(1, "how many at least", unit="bytes")
    most: JunkLength = setting(4, "how many at most", unit="bytes")

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        _check_order(self.least, self.most)

    def on_reply(self, exchange: Exchange, random: Random) -> None:
        before, after = self._drawn(random), self._drawn(random)
        if self.where != "after":
            exchange.junk_before += before
        if self.where != "before":
            exchange.junk_after += after

    def _drawn(self, random: Random) -> bytes:
        return random.randbytes(random.randint(self.least, self.most))


@frozen(kw_only=True, slots=False)
class Duplicate(Fault):
    """The reply comes twice."""

    kind = "duplicate"

    after: Seconds = setting(0.0, "silence between the two, beyond T3.5", unit="s")

    def on_reply(self, exchange: Exchange, random: Random) -> None:
        exchange.copies += 1
        exchange.copy_after = max(exchange.copy_after, self.after)


KINDS: Final[dict[str, type[Fault]]] = {
    cls.kind: cls
    for cls in (Silence, Delay, Late, Busy, Corrupt, Truncate, WrongUnit, Echo, Junk, Duplicate, Refusal, Gap)
}
"""The class of each kind."""


@define
class Dice:
    """The random numbers of one fault, and the number of draws."""

    random: Random
    throws: int = 0


class Faults:
    """The faults of one bus.

    :param whole: the faults of all units.
    :param units: the faults of single units.
    :param seed: the seed of their random numbers.
    """

    def __init__(
        self, whole: Sequence[Fault] = (), units: Mapping[int, Sequence[Fault]] | None = None, seed: object = 0
    ) -> None:
        self._whole = _with_dice(whole, f"{seed} bus")
        self._units = {unit: _with_dice(faults, f"{seed} unit {unit}") for unit, faults in (units or {}).items()}

    def draw(self, exchange: Exchange) -> list[tuple[Fault, Random]]:
        """The faults that hit this request, each with the random numbers that it uses."""
        drawn = [
            (fault, dice.random) for fault, dice in (*self._whole, *self._units.get(exchange.unit, ()))
            if (exchange.unit != BROADCAST or not fault.is_of_replies) and fault.hits(exchange, dice)
        ]
        exchange.faults.extend(fault.kind for fault, _ in drawn)
        return drawn


def _with_dice(faults: Sequence[Fault], seed: str) -> list[tuple[Fault, Dice]]:
    """Gives each fault its own seed, from its kind and its number within the kind. The seed is text, because text gives
    the same random numbers in every Python version."""
    numbers: Counter[str] = Counter()
    dice = []
    for fault in faults:
        dice.append((fault, Dice(Random(f"{seed} {fault.kind} {numbers[fault.kind]}"))))
        numbers[fault.kind] += 1
    return dice
