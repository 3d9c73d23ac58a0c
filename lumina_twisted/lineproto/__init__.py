"""The grammar of the text lines, floor 0: what a command line says, and how its one answer is written and read."""

from lumina_twisted.lineproto.answer import (
    MAX_ERROR_LINE,
    Answer,
    Dialect,
    HexStyle,
    format_error,
    format_reply,
    parse_answer,
    reason_of,
)
from lumina_twisted.lineproto.command import (
    MAX_BAUDRATE,
    MAX_LINE,
    MAX_TIMEOUT,
    MIN_TIMEOUT,
    PING,
    Command,
    command_id_of,
    format_command,
    parse_command,
)

__all__ = [
    "MAX_BAUDRATE", "MAX_ERROR_LINE", "MAX_LINE", "MAX_TIMEOUT", "MIN_TIMEOUT", "PING", "Answer", "Command", "Dialect",
    "HexStyle", "command_id_of", "format_command", "format_error", "format_reply", "parse_answer", "parse_command",
    "reason_of",
]
