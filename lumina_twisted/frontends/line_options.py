"""Settings of a line listener, floor 4."""

from __future__ import annotations

from typing import Annotated

from attrs import frozen

from lumina_twisted.frontends.listener import ListenerOptions
from lumina_twisted.frontends.turns import TurnOptions
from lumina_twisted.lineproto import MAX_TIMEOUT, MIN_TIMEOUT, Dialect, HexStyle
from lumina_twisted.schema import Between, setting


@frozen(kw_only=True, slots=False)
class LineOptions(TurnOptions, ListenerOptions):
    """How a listener of the text protocol speaks, and how much its clients may hold."""

    port: str = setting("", "name or path of the port meant by an empty port field; not given: the first one")
    dialect: Dialect = setting(
        "v2", "v2 for clients since 2025-01; v1 for older ones, which read neither timestamps nor reasons"
    )
    hex: HexStyle = setting(
        "compact", "how v2 writes bytes: compact, or spaced with a blank between them; the original client loses"
        " spaced replies of more than 30 registers, compact ones of more than 46",
    )
    timeout: Annotated[float, Between(MIN_TIMEOUT, MAX_TIMEOUT)] = setting(
        5.0, "how long the caller of a line without a timeout waits; answers leave at 0.9 of it", unit="s"
    )
