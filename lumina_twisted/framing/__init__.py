"""How a unit and a PDU become bytes on a wire and back. Floor 0.

A bus knows units and PDUs only; its framing is an object of :class:`Framing`. There are
:class:`~lumina_twisted.framing.rtu.RtuFraming` and :class:`~lumina_twisted.framing.numbered.MbapFraming`. Another one
(ASCII, Modbus over UDP) is a file here. ``ports/tcp.py`` (``framing_of``) chooses it; ``ports/settings.py``
(``_SCHEMES``) has the prefixes of paths, and ``twisted/plugins/lumina_plugin.py`` those of endpoints. Its class has to

* encode a request, and find messages in what was received, however that is cut and whatever stands before, between
  and behind them. Where nothing in a frame tells its end, it asks the patterns of the awaited replies;
* say whether replies are numbered. If they are, it gives the replies to open requests only, and says of others that
  they are late, foreign or spoiled. If they are not, the bus itself keeps late replies apart;
* say whether its bytes take wire time;
* forget what it has received when a request leaves, unless replies are numbered, and when a connection begins.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from lumina_twisted.modbus.reply import Pattern, ReplyPattern


class Decoded(NamedTuple):
    """A whole message off the wire.

    :param length: bytes of its frame.
    :param pattern: the pattern that it answers to, if any.
    """

    unit: int
    pdu: bytes
    length: int
    pattern: Pattern | None


class Rejected(NamedTuple):
    """A numbered reply that is not used.

    :param kind: ``spoiled``, the reply to the newest request, but unusable; ``late``, one that nobody waits for;
        ``foreign``, one whose number belongs to a request of another kind.
    :param what: what came, as a part of a sentence; empty if it explains nothing.
    """

    kind: Literal["late", "foreign", "spoiled"]
    what: str


class Framing(Protocol):
    """Turns the messages of one bus into bytes and back, and remembers what it has received."""

    is_numbered: bool
    """Whether a reply repeats the number of its request, so that only replies to open requests are given."""
    has_wire_time: bool
    """Whether bytes take their time on the wire, by the baud rate; else they come over a stream."""
    junk: int
    """Bytes so far that belonged to no frame."""
    damaged: tuple[Pattern, ...]
    """The patterns whose frame came whole with a wrong checksum; one frame may fit several."""

    def encode(self, unit: int, pdu: bytes) -> bytes:
        """The frame of a request that leaves now."""
        ...

    def take_whole(self, data: bytes, pattern: ReplyPattern) -> bytes | None:
        """The PDU of a reply, if these bytes are its whole frame, and nothing is left of what came before. That is the
        usual case. None, and nothing is taken, if it is another one: then :meth:`receive` takes the bytes."""
        ...

    def receive(self, data: bytes) -> None:
        """Takes bytes off the wire."""
        ...

    def next_frame(self, patterns: tuple[Pattern, ...]) -> Decoded | Rejected | None:
        """The next message; None until more bytes come.

        :param patterns: the awaited patterns; the identical tuple while they are unchanged.
        :raises FrameError: if the stream means nothing any more, with a sentence that says why.
        """
        ...

    def end_of_burst(self, patterns: tuple[Pattern, ...]) -> Decoded | None:
        """The next message whose end is a silence: the bus has been silent for T3.5."""
        ...

    def begun(self, pattern: Pattern) -> bool:
        """Whether such a frame was begun: incomplete so far, or complete with a wrong checksum."""
        ...

    def __len__(self) -> int:
        """Bytes that may still become a frame."""
        ...

    def clear(self) -> object:
        """A request leaves: nothing received so far can belong to its reply."""
        ...

    def reset(self) -> None:
        """The connection is a new one."""
        ...
