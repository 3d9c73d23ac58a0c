"""Whether a port receives what it sends: rule 4 of the core.

An RS-485 adapter whose receiver stays on while it sends hands back every byte. This echo is a property of the port. The
bus never infers it from one frame of a write, because the reply to a write looks the same as its echo. The bus learns
it, echo or no echo, from requests whose reply cannot equal them. It forgets it when the port is lost, because the
adapter that comes back may be another one.
"""

from __future__ import annotations

from lumina_twisted.bus.events import Request
from lumina_twisted.bus.pending import Kind, Pending
from lumina_twisted.bus.settings import EchoMode
from lumina_twisted.bus.transaction import Attempt
from lumina_twisted.modbus.functions import FunctionCode
from lumina_twisted.modbus.pdu import ReadHoldingRegistersRequest
from lumina_twisted.modbus.reply import Shape
from lumina_twisted.statistics.counters import Counters


class Echo:
    """The state of a port's echo. ``known`` is True or False; None while it is unknown.

    :param counters: count the echoes, and the collisions.
    """

    def __init__(self, mode: EchoMode, counters: Counters) -> None:
        self._mode = mode
        self._counters = counters
        self.known: bool | None = None
        self.reset()

    def reset(self) -> None:
        """Forgets what was learned."""
        self.known = None if self._mode == "auto" else self._mode == "on"

    def learn(self, echoes: bool) -> None:
        """Takes an observation; has no effect if the configuration sets the mode. One reply without an echo does not
        refute a known echo, because the reply may have come before the echo. It only makes the bus check again."""
        if self._mode == "auto":
            self.known = None if self.known and not echoes else echoes

    def doubt(self) -> None:
        """A frame looked like an echo on a port that does not echo as far as is known: the bus checks again before the
        next write."""
        if self._mode == "auto" and self.known is False:
            self.known = None

    @property
    def is_learned(self) -> bool:
        """Whether observations count."""
        return self._mode == "auto"

    def came(self, attempt: Attempt, junk: int) -> None:
        """The echo of the frame on the wire was received.

        :param junk: bytes so far that belonged to no frame.
        """
        self._counters.echoes += 1
        if attempt.echo and junk > attempt.junk:
            self._counters.collisions += 1
        attempt.echoed = attempt.echo = True
        if attempt.echo_pattern is not None:
            self.learn(True)

    def excludes_echo(self, attempt: Attempt, pdu: bytes, junk: int) -> bool:
        """Whether a message with the form of the reply is certainly not just an echo.

        :param junk: bytes so far that belonged to no frame.
        """
        request = attempt.request
        if attempt.lacks_echo and not request.pattern.is_exception(pdu):
            if pdu == request.pdu:
                self.came(attempt, junk)
                return False
            if request.pattern.can_equal_request or not self.is_learned:
                self._counters.foreign += 1
                return False
        is_only_reply = request.attempts == 1  # a reply to an earlier attempt may come before the echo
        if request.pattern.echo and is_only_reply and not attempt.echoed and junk == attempt.junk:
            self.learn(False)
        return True

    def needs_probe(self, request: Pending) -> bool:
        """Whether a read must go ahead to show if the port echoes, because the echo of ``request`` would pass for its
        reply."""
        may_pass = request.pattern.can_equal_request and not request.is_broadcast
        return self.known is None and may_pass and not request.is_probed


def probe_shape(request: Pending) -> Shape:
    """The shape of the reply to :func:`probe_for` the request."""
    return Shape(request.unit, FunctionCode.READ_HOLDING_REGISTERS, 4)


def probe_for(request: Pending) -> Pending:
    """The one-register read that goes ahead of a write on a port not yet known to echo or not.

    If the write is to a register, the probe reads that register, so that it touches nothing the caller does not know.
    """
    code = request.pdu[0]
    writes_register = code in (FunctionCode.WRITE_SINGLE_REGISTER, FunctionCode.MASK_WRITE_REGISTER)
    address = int.from_bytes(request.pdu[1:3], "big") if writes_register else 0
    pdu = ReadHoldingRegistersRequest(address, 1).encode()
    asked = Request(request.caller, request.unit, pdu, request.serial, request.deadline, retries=0)
    return Pending(asked, Kind.ECHO_PROBE, ahead_of=request)
