"""Settings of a value listener, floor 4."""

from __future__ import annotations

from typing import Annotated

from attrs import frozen

from lumina_twisted.frontends.listener import ListenerOptions
from lumina_twisted.schema import Between, setting


@frozen(kw_only=True, slots=False)
class ValuesOptions(ListenerOptions):
    """What the clients of a listener of named values may do, and how much they may hold."""

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
