"""What a bus counts: plain integers, one port each."""

from __future__ import annotations

from typing import Literal

from attrs import define


@define
class Counters:
    """Every request that ended, by how; and everything heard that was nobody's reply."""

    requests: int = 0
    replies: int = 0
    shared: int = 0
    fresh: int = 0
    blocks: int = 0
    exceptions: int = 0
    broadcasts: int = 0
    timeouts: int = 0
    lost: int = 0
    unknown_outcomes: int = 0
    not_sent: int = 0
    cancelled: int = 0
    retries: int = 0
    late: int = 0
    foreign: int = 0
    crc_errors: int = 0
    echoes: int = 0
    collisions: int = 0
    junk_bytes: int = 0
    frames: int = 0
    renewals: int = 0
    canaries: int = 0
    doubled: int = 0
    other_master: int = 0

    def drop(self, kind: Literal["late", "foreign"]) -> None:
        """Counts a reply that the bus does not hear, for its number says that it is not the one waited for."""
        if kind == "late":
            self.late += 1
        else:
            self.foreign += 1
