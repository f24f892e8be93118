"""Escape CSV cells that a spreadsheet would execute as formulas, and unescape them.

A spreadsheet may divide a line at semicolons or tabs too, so that a formula can begin inside a
cell. There and at the beginning an apostrophe is put before it.
"""

import re

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet treats a cell that begins with one of these as a formula."""
_INSIDE = re.compile(r"([;,\t]\s*)('*[=+@-])")
_DISARMED = re.compile(r"([;,\t]\s*)'('*[=+@-])")


def safe(text: str) -> str:
    """Escape a cell so that no spreadsheet treats it, or a part of it, as a formula."""
    inside = _INSIDE.sub(r"\1'\2", text)
    return f"'{inside}" if _begins(text) else inside


def original(cell: str) -> str:
    """Return the cell that `safe` escaped."""
    inside = cell[1:] if cell.startswith("'") and _begins(cell) else cell
    return _DISARMED.sub(r"\1\2", inside)


def _begins(text: str) -> bool:
    return text.lstrip("'").startswith(FORMULA)
