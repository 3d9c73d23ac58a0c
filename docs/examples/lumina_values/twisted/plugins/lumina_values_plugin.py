"""What Twisted finds of lumina_values."""

from lumina_values import ValuesFrontEnd

values = ValuesFrontEnd()
