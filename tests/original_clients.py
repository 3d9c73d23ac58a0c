"""The two original clients as wire.md describes them, as far as their reading of lines goes; our own words.

Each keeps what it waits for and what it was told, so that a test can ask whether an answer reached its caller.
"""

from __future__ import annotations

from typing import NamedTuple

RECEIVE_AT_ONCE = 256


class Told(NamedTuple):
    """What the caller of a v2 client's command is told."""

    status: str
    data: bytes | None
    stamp: float


class FirstClient:
    """The client of 2024-11 (v1): whole lines, split at the first colon only."""

    def __init__(self) -> None:
        self.waiting: dict[str, int] = {}
        self.responses: dict[str, str] = {}
        self.errors: dict[str, str] = {}
        self.unmatched: list[str] = []
        self.unreadable = 0
        self._buffer = b""

    def sent(self, command_id: str, response_length: int) -> None:
        """It waits for the answer to a command."""
        self.waiting[command_id] = response_length

    def receive(self, segment: bytes) -> None:
        """Takes what a TCP segment holds."""
        *lines, self._buffer = (self._buffer + segment).split(b"\n")
        for line in lines:
            try:
                self._read(line.strip().decode())
            except ValueError:
                self.unreadable += 1  # told to its observers without an id; the command waits on

    def _read(self, line: str) -> None:
        command_id, _, data = line.partition(":")
        if command_id not in self.waiting:
            self.unmatched.append(line)
        elif data in {"TIMEOUT", "MISMATCH"}:
            self._settle(self.errors, command_id, data)
        elif not data or len(bytes.fromhex(data)) == self.waiting[command_id]:
            self._settle(self.responses, command_id, data)
        else:
            self._settle(self.errors, command_id, "Response length mismatch")

    def _settle(self, where: dict[str, str], command_id: str, what: str) -> None:
        where[command_id] = what
        del self.waiting[command_id]


class SecondClient:
    """The client since 2025-01 (v2): 256 bytes at a time, each chunk filed under its text before the first ``_``."""

    def __init__(self, now: float = 1.0) -> None:
        self.waiting: set[str] = set()
        self.told: dict[str, Told] = {}
        self.ignored: list[str] = []
        self.reconnects = 0
        self._now = now
        self._buffers: dict[str, str] = {}

    def sent(self, command_id: str) -> None:
        """It waits for the answer to a command."""
        self.waiting.add(command_id)

    def receive(self, segment: bytes) -> None:
        """Takes what a TCP segment holds, if it comes to a socket that was read empty."""
        for start in range(0, len(segment), RECEIVE_AT_ONCE):
            try:
                self._file(segment[start : start + RECEIVE_AT_ONCE].decode())
            except UnicodeDecodeError:
                self.reconnects += 1

    def _file(self, chunk: str) -> None:
        key = chunk.partition("_")[0]
        *lines, rest = (self._buffers.get(key, "") + chunk).split("\n")
        self._buffers[key] = rest
        for line in lines:
            if line.strip():
                self._read(line.strip())

    def _read(self, line: str) -> None:
        command_id, *fields = line.split(":")
        if not fields or command_id not in self.waiting:
            self.ignored.append(line)
            return
        try:
            stamp = float(fields[-1]) if len(fields) > 1 else self._now
        except ValueError:
            self.ignored.append(line)
            return
        self.told[command_id] = self._meaning(fields, stamp)
        self.waiting.remove(command_id)

    @staticmethod
    def _meaning(fields: list[str], stamp: float) -> Told:
        if "ERROR" in fields[0]:
            return Told(fields[1] if len(fields) > 2 else "unknown_error", None, stamp)
        try:
            return Told("success", bytes.fromhex(fields[0]) if fields[0] else None, stamp)
        except ValueError:
            return Told("invalid_response", None, stamp)
