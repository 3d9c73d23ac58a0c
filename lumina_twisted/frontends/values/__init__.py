"""The value front-end, floor 4 (S1)."""

from lumina_twisted.frontends.values.client import ValuesFrontEnd, ValuesListener, ValuesProtocol
from lumina_twisted.frontends.values.commands import ValuesOptions

__all__ = ["ValuesFrontEnd", "ValuesListener", "ValuesOptions", "ValuesProtocol"]
