"""The mission's names, floor 4: each is the component that Lumina itself runs on."""

from lumina_twisted.log import LuminaLogger
from lumina_twisted.retrying import RetryManager

__all__ = ["LuminaLogger", "RetryManager"]
