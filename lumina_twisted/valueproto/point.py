"""A point as a person wants to see it, floor 0."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class PointDescription:
    """What a point is.

    :param name: DEVICE.POINT.
    :param words: that its value can be, if it has any, or the names of its bits.
    :param device: whose it is, at ``unit`` of ``port``.
    """

    name: str
    type: str
    unit_of_measure: str = ""
    writable: bool = False
    summary: str = ""
    low: float | None = None
    high: float | None = None
    words: tuple[str, ...] = ()
    device: str = ""
    port: str = ""
    unit: int = 0
