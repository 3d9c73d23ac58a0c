"""The line front-end, floor 4."""

from lumina_twisted.frontends.line.client import LineFactory, LineFrontEnd, LineOptions, LineProtocol

__all__ = ["LineFactory", "LineFrontEnd", "LineOptions", "LineProtocol"]
