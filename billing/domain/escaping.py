"""Escaping: text from outside, made safe for a terminal or a log.

A name, a reason or a gateway's message may contain sequences that move a cursor, change a title,
forge a line, or change the direction of writing. Letters of every script stay, and so do joiners.
This module does not know where a text came from.
"""

import re

_ACTS = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0, DEL and C1: escape sequences begin with one of these
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks and overrides of direction
    "\u2028\u2029"  # separators of lines and paragraphs
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"  # invisible: byte order, annotations, tags
    "\ud800-\udfff]"  # halves of letters, which no encoding can write
)
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def escape(text: str, keep: str = "") -> str:
    """Replace every control character by its hexadecimal code, except those in `keep`."""
    if text.isprintable():  # nearly every text, and no printable character acts
        return text
    return _ACTS.sub(lambda found: _written(found[0], keep), text)


def _written(letter: str, keep: str) -> str:
    if letter in keep:
        return letter
    code = ord(letter)
    width = "x" if code < 0x100 else "u" if code < 0x10000 else "U"
    digits = {"x": 2, "u": 4, "U": 8}[width]
    return _NAMED.get(letter) or f"\\{width}{code:0{digits}x}"
