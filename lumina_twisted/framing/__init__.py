"""How a unit and a PDU become bytes on a wire and back. Floor 0.

A bus knows units and PDUs only; its framing is an object of :class:`Framing`. There are
:class:`~lumina_twisted.framing.rtu.RtuFraming` and :class:`~lumina_twisted.framing.numbered.MbapFraming`.

Another framing, such as ASCII, is a file here, and ``framing_of`` in ``ports/tcp.py`` chooses it. Another transport,
such as UDP, is an endpoint in a file beside ``ports/tcp.py``, and keeps a framing that stands here.
``ports/settings.py`` (``_SCHEMES``) has the prefixes of paths, ``ports/service.py`` makes the endpoint, and
``twisted/plugins/lumina_plugin.py`` has the prefixes of endpoints.

The class of a framing has to

* encode a request, and find messages in the received bytes, whatever pieces they arrive in, and whatever stands before,
  between and after the messages. Where nothing in a frame marks its end, it asks the patterns of the awaited replies;
* say whether replies are numbered. If they are, it returns only the replies to open requests, and reports others as
  late, foreign or spoiled. If they are not, the bus itself tells late replies apart;
* say whether its bytes take wire time;
* forget what it has received when a request leaves, unless replies are numbered, and when a connection begins.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from lumina_twisted.modbus.reply import Pattern, ReplyPattern


class Decoded(NamedTuple):
    """A whole message off the wire.

    :param length: bytes of its frame.
    :param pattern: the awaited pattern that it matches, if any.
    """

    unit: int
    pdu: bytes
    length: int
    pattern: Pattern | None


class Rejected(NamedTuple):
    """A numbered reply that is not used.

    :param kind: ``spoiled``: the reply to the newest request, but unusable; ``late``: a reply that no request awaits;
        ``foreign``: a reply whose number belongs to a request of another kind.
    :param what: what was received, as a part of a sentence; empty if it explains nothing.
    """

    kind: Literal["late", "foreign", "spoiled"]
    what: str


class Framing(Protocol):
    """Turns the messages of one bus into bytes and back, and remembers what it has received."""

    is_numbered: bool
    """Whether a reply repeats the number of its request. Then the framing returns only replies to open requests."""
    has_wire_time: bool
    """Whether bytes take time on the wire, according to the baud rate; otherwise they come over a stream."""
    junk: int
    """How many received bytes belonged to no frame so far."""
    damaged: tuple[Pattern, ...]
    """The patterns whose frame was complete but had a wrong checksum; one frame may match several."""

    def encode(self, unit: int, pdu: bytes) -> bytes:
        """The frame of a request that is sent now."""
        ...

    def take_whole(self, data: bytes, pattern: ReplyPattern) -> bytes | None:
        """The PDU of a reply, if these bytes are its whole frame and no earlier bytes are left. That is the usual case.
        In any other case the result is None and nothing is taken: then :meth:`receive` takes the bytes."""
        ...

    def receive(self, data: bytes) -> None:
        """Takes bytes off the wire."""
        ...

    def next_frame(self, patterns: tuple[Pattern, ...]) -> Decoded | Rejected | None:
        """The next message; None until more bytes come.

        :param patterns: the awaited patterns; the identical tuple while they are unchanged.
        :raises FrameError: if the stream has become unusable, with a sentence that says why.
        """
        ...

    def end_of_burst(self, patterns: tuple[Pattern, ...]) -> Decoded | None:
        """The next message that a silence ends. To be called when the bus has been silent for T3.5."""
        ...

    def begun(self, pattern: Pattern) -> bool:
        """Whether a frame that matches ``pattern`` has begun: incomplete so far, or complete with a wrong checksum."""
        ...

    def __len__(self) -> int:
        """How many received bytes may still become a frame."""
        ...

    def clear(self) -> object:
        """A request is sent: no byte received so far can belong to its reply."""
        ...

    def reset(self) -> None:
        """A new connection begins."""
        ...
