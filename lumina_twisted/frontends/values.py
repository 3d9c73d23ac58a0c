"""The value front-end, floor 4 (S1): a listener of the value lines and all its clients. ``docs/values.md`` tells people
what can be said."""

from __future__ import annotations

from typing import Any

from lumina_twisted.frontends.context import Context
from lumina_twisted.frontends.listener import Listener
from lumina_twisted.frontends.plugin import StreamFrontEnd
from lumina_twisted.frontends.values_changes import Watchers
from lumina_twisted.frontends.values_client import ValuesProtocol
from lumina_twisted.frontends.values_options import ValuesOptions
from lumina_twisted.frontends.values_words import Words

__all__ = ["ValuesFrontEnd", "ValuesListener", "ValuesOptions", "ValuesProtocol"]


class ValuesListener(Listener):
    """A listener and its clients."""

    protocol = ValuesProtocol
    options: ValuesOptions

    def __init__(self, options: ValuesOptions, context: Context) -> None:
        super().__init__(options, context)
        self.stalled_after = options.stalled_after
        self.words = Words(context.values, options, context.now, self._stats, context.log)
        self.watchers = Watchers(self.words)
        self.lines = 0

    def counts(self) -> dict[str, int]:
        """What ``stats`` tells about this listener."""
        return {
            **super().counts(), "lines": self.lines, "errors": self.errors, "watched": len(self.watchers),
            "changes": self.watchers.changes,
        }

    def _stats(self) -> dict[str, Any]:
        return {"listener": self.counts(), **self.others()}


class ValuesFrontEnd(StreamFrontEnd):
    """Named values."""

    name = "values"
    summary = "values of devices by name: read, write and watch them in lines of text or JSON"
    endpoint = "tcp:5000:interface=127.0.0.1"
    options = ValuesOptions

    def build(self, options: Any, context: Context) -> ValuesListener:
        """See :class:`lumina_twisted.frontends.plugin.StreamFrontEnd`."""
        return ValuesListener(options, context)
