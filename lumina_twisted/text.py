"""Text that people read or type, floor 0: what is safe to print, what was probably meant, and how values are written.

A name in a file, a word of a command line, a client's line or a device's text may hold what a terminal obeys or what
makes one line look like two: control characters (ESC, NUL, newline, those of 0x80 to 0x9F), marks that turn the
direction of a line (Unicode Standard Annex 9, section 2), invisible ones, and half surrogates. :func:`shown` writes
them as Python does in a text: ``\\x1b``, ``\\n``, ``\\u202e``.
"""

from __future__ import annotations

import difflib
import re
import struct
from collections.abc import Iterable, Mapping
from typing import Final

ON_OFF: Final[Mapping[str, bool]] = {
    "on": True, "true": True, "yes": True, "1": True, "off": False, "false": False, "no": False, "0": False,
}
"""The words that a person may type for on and off, in lower case."""

_OBEYED: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_F32: Final = struct.Struct(">f")
_LONGEST_REPR: Final = 100


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


# -- what was probably meant -----------------------------------------------------------------------------------------


def close_to(word: object, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Which of the known words is probably meant, in whatever case; empty if none is.

    :param cutoff: how alike the two must be, from 0 to 1.
    """
    lowered = {one.lower(): one for one in known}
    near = difflib.get_close_matches(str(word).lower(), lowered, 1, cutoff)
    return lowered[near[0]] if near else ""


def did_you_mean(word: object, known: Iterable[str], otherwise: str) -> str:
    """The end of a sentence that says there is no ``word``: a question with the nearest one, or ``otherwise``."""
    near = close_to(word, known)
    return f"did you mean {near!r}?" if near else otherwise


def nearest(word: object, known: Iterable[str]) -> str:
    """The same; where no word is near, it lists those that there are."""
    known = list(known)
    return did_you_mean(word, known, f"there are {', '.join(known) or 'none'}")


def quoted(text: str, most: int = 40) -> str:
    """Foreign text for a sentence, in quotation marks, cut to ``most`` characters: enough to find it."""
    return repr(text if len(text) <= most else f"{text[: most - 3]}...")


def counted(number: int, noun: str) -> str:
    """As ``1 port``, ``2 ports``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


# -- values ----------------------------------------------------------------------------------------------------------


def on_off(value: object) -> str:
    """``on`` or ``off``."""
    return "on" if value else "off"


def brief(value: object) -> str:
    """A number as people write it, and anything else as Python does; never endless."""
    try:
        text = repr(value)
    except ValueError:  # of thousands of digits, which Python refuses to write
        return "a number of that many digits"
    if isinstance(value, float):
        return text.removesuffix(".0")
    return text if len(text) <= _LONGEST_REPR else f"{text[: _LONGEST_REPR - 1]}…"


def shortest_f32(value: float) -> float:
    """The number with the fewest digits that has the same 32 bits: 23.4, where a float of 64 bits has
    23.399999618530273. A number that no f32 holds stays as it is."""
    try:
        bits = _F32.pack(value)
        candidates = (float(f"{value:.{digits}g}") for digits in range(6, 10))
        return next((near for near in candidates if _F32.pack(near) == bits), value)
    except OverflowError:
        return value
