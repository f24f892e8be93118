"""Escape CSV cells that a spreadsheet would execute as formulas, and unescape them."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet treats a cell that begins with one of these as a formula."""


def safe(text: str) -> str:
    """Escape a cell so that no spreadsheet treats it as a formula."""
    return f"'{text}" if text.lstrip("'").startswith(FORMULA) else text


def original(cell: str) -> str:
    """Return the cell that `safe` escaped."""
    return cell[1:] if cell.startswith("'") and safe(cell) != cell else cell
