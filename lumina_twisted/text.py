"""Text that people read or type, floor 0: text that is safe to print, suggestions for names, and text for values.

A name in a file, a word of a command line, a client's line or a device's text may have characters that control a
terminal, or that make one line look like two: control characters (ESC, NUL, newline, those of 0x80 to 0x9F), marks that
change the direction of a line (Unicode Standard Annex 9, section 2), invisible characters, and lone surrogates.
:func:`shown` escapes them as Python does: ``\\x1b``, ``\\n``, ``\\u202e``.
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
"""The words for on and off that a person may type, in lower case."""

_OBEYED: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_F32: Final = struct.Struct(">f")
_LONGEST_REPR: Final = 100


def shown(text: str, keep: str = "") -> str:
    """The text as one line that is safe to print.

    :param keep: characters that stay as they are, such as a newline if several lines are allowed.
    """
    if not _OBEYED.search(text):
        return text
    return _OBEYED.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), text)


def shown_lines(text: str) -> str:
    """The same for a text of several lines; newlines and tabs stay as they are."""
    return shown(text, keep="\n\t")


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


# -- what was probably meant -----------------------------------------------------------------------------------------


def close_to(word: object, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The known word that is most similar to ``word``, regardless of case; empty if none is similar enough.

    :param cutoff: the required similarity, from 0 to 1.
    """
    lowered = {one.lower(): one for one in known}
    near = difflib.get_close_matches(str(word).lower(), lowered, 1, cutoff)
    return lowered[near[0]] if near else ""


def did_you_mean(word: object, known: Iterable[str], otherwise: str) -> str:
    """The end of a sentence that says there is no ``word``: a question with the most similar known word, or
    ``otherwise``."""
    near = close_to(word, known)
    return f"did you mean {near!r}?" if near else otherwise


def nearest(word: object, known: Iterable[str]) -> str:
    """The same; if no word is similar, it lists all known words."""
    known = list(known)
    return did_you_mean(word, known, f"there are {', '.join(known) or 'none'}")


def quoted(text: str, most: int = 40) -> str:
    """Foreign text in quotation marks for a sentence. It is cut to ``most`` characters, which is enough to find it."""
    return repr(text if len(text) <= most else f"{text[: most - 3]}...")


def counted(number: int, noun: str) -> str:
    """A number with its noun, such as ``1 port`` or ``2 ports``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


# -- values ----------------------------------------------------------------------------------------------------------


def on_off(value: object) -> str:
    """``on`` or ``off``."""
    return "on" if value else "off"


def brief(value: object) -> str:
    """A number as people write it, and anything else as Python does. A number with very many digits is described."""
    try:
        text = repr(value)
    except ValueError:  # a number of thousands of digits, which Python refuses to convert
        return "a number of that many digits"
    if isinstance(value, float):
        return text.removesuffix(".0")
    return text if len(text) <= _LONGEST_REPR else f"{text[: _LONGEST_REPR - 1]}…"


def shortest_f32(value: float) -> float:
    """The number with the fewest digits that has the same bits as a 32-bit float: 23.4 instead of 23.399999618530273. A
    number that does not fit into an f32 stays as it is."""
    try:
        bits = _F32.pack(value)
        candidates = (float(f"{value:.{digits}g}") for digits in range(6, 10))
        return next((near for near in candidates if _F32.pack(near) == bits), value)
    except OverflowError:
        return value
