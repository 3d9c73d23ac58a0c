"""Texts of others before they reach a terminal or a log, floor 0.

A name in a file, a word of a command line, a client's line or a device's text may hold what a terminal obeys or what
makes one line look like two: control characters (ESC, NUL, newline, those of 0x80 to 0x9F), marks that turn the
direction of a line (Unicode Standard Annex 9, section 2), invisible ones, and half surrogates. They are shown as
Python writes them in a text: ``\\x1b``, ``\\n``, ``\\u202e``.
"""

from __future__ import annotations

import re
from typing import Final

_OBEYED: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def shown(text: str, keep: str = "") -> str:
    """The text as one line that may be printed anywhere.

    :param keep: characters that stay as they are, such as a newline where there may be several lines.
    """
    if not _OBEYED.search(text):
        return text
    return _OBEYED.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), text)


def shown_lines(text: str) -> str:
    """The same of a text of several lines, with its newlines and tabs."""
    return shown(text, keep="\n\t")


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
