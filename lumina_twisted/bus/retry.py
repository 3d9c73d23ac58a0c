"""Whether a request without a reply may be sent again, and after how long.

A read may: asking twice changes nothing. A write may have been carried out, so it is sent once, unless its caller or
the configuration says otherwise. The first retry follows at once, the further ones after a pause that grows.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from lumina_twisted.bus.events import Request
from lumina_twisted.bus.settings import BusSettings
from lumina_twisted.errors import Acknowledge, ServerDeviceBusy

BUSY: Final = frozenset({Acknowledge.code, ServerDeviceBusy.code})
"""Exceptions by which a device says that it is working on something long."""
BUSY_RETRIES: Final = 3
"""How often a busy device is asked again where nothing is said of that, and missing replies are asked for again."""


@frozen
class Backoff:
    """Exponential backoff (M11): no pause before the first retry, ``initial`` before the second, and each further
    one ``factor`` times as long."""

    initial: float
    factor: float

    def delay(self, attempts: int) -> float:
        """Seconds to wait when ``attempts`` (1 or more) were in vain."""
        return 0.0 if attempts < 2 else self.initial * self.factor ** min(attempts - 2, 64)


def allowed_retries(request: Request, settings: BusSettings) -> int:
    """How often a request may be sent again: what its caller said, else what its class is given."""
    if request.is_broadcast:
        return 0  # nobody answers it, so nothing says that it failed
    if request.retries is not None:
        return request.retries
    if request.is_read:
        return settings.for_unit(request.unit).retries or 0
    return settings.retry_writes


def allowed_busy_retries(request: Request, settings: BusSettings) -> int:
    """How often a request may be sent again that the device was too busy for: a read as configured, unless its caller
    wants it sent once; a write never, for "acknowledge" means that it is being carried out."""
    if not request.is_read or request.retries == 0:
        return 0
    if settings.busy_retries is not None:
        return settings.busy_retries
    return BUSY_RETRIES if settings.for_unit(request.unit).retries else 0


def allowed_canaries(request: Request, settings: BusSettings) -> int:
    """How many canaries may go unanswered ahead of a request, but for one, before it ends: what reads are given as
    retries."""
    own = request.retries if request.is_read else None
    return (settings.for_unit(request.unit).retries or 0) if own is None else own
