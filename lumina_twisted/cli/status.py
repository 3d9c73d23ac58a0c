"""What a failure leaves as exit status, floor 5."""

from __future__ import annotations

from lumina_twisted.cli.parser import EXIT_REFUSED, EXIT_USAGE, UsageError
from lumina_twisted.errors import ConfigError, RequestError


def status_of(error: Exception) -> int:
    """2 if it would not help to do the same once more, else 1."""
    return EXIT_USAGE if isinstance(error, (UsageError, ConfigError, RequestError)) else EXIT_REFUSED
