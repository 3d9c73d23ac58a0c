"""What every front-end that asks ports may say of its clients' requests, floor 4: how urgent, and how fresh."""

from __future__ import annotations

from typing import Annotated

from attrs import frozen

from lumina_twisted.priority import DEFAULT, MAX_AGE, Priority
from lumina_twisted.schema import Between, setting


@frozen(kw_only=True, slots=False)
class TurnOptions:
    """In which lane the requests of a listener's clients wait, and how old a value may be that answers them."""

    priority: Priority = setting(DEFAULT, "in which lane its clients' requests wait: high, normal, low")
    max_age: Annotated[float, Between(0, MAX_AGE)] | None = setting(
        None, "how old a value may be that answers a read of its clients; not given: what the unit or the port says",
        unit="s",
    )
