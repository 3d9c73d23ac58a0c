"""The line front-end, floor 4: a listener of the text protocol and all its clients."""

from __future__ import annotations

from lumina_twisted.errors import RequestError
from lumina_twisted.frontends.context import Context
from lumina_twisted.frontends.line_client import LineProtocol
from lumina_twisted.frontends.line_options import LineOptions
from lumina_twisted.frontends.listener import Listener
from lumina_twisted.frontends.plugin import StreamFrontEnd
from lumina_twisted.ports.interfaces import Port

__all__ = ["LineFactory", "LineFrontEnd", "LineOptions", "LineProtocol"]


class LineFactory(Listener):
    """A line listener and its clients."""

    protocol = LineProtocol
    options: LineOptions

    def __init__(self, options: LineOptions, context: Context) -> None:
        super().__init__(options, context)
        self.lines = 0

    def find(self, text: str) -> Port:
        """The port that a command means.

        :raises RequestError: with a sentence that says which there are.
        """
        if text or (text := self.options.port):
            return self.buses.find(text)
        for port in self.buses:
            return port
        raise RequestError("no port is configured")

    def counts(self) -> dict[str, int]:
        """What ``stats`` tells about this listener."""
        return {**super().counts(), "lines": self.lines, "errors": self.errors}


class LineFrontEnd(StreamFrontEnd):
    """The text protocol of the original Lumina Modbus Server."""

    name = "line"
    summary = "text lines, one command each; the original Lumina's clients speak it"
    options = LineOptions

    def build(self, options: LineOptions, context: Context) -> LineFactory:
        """See :class:`lumina_twisted.frontends.plugin.StreamFrontEnd`."""
        return LineFactory(options, context)
