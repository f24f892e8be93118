"""Cells of CSV that a spreadsheet would execute, made harmless, and what they were."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is a formula to a spreadsheet."""


def safe(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.lstrip("'").startswith(FORMULA) else text


def original(cell: str) -> str:
    """What `safe` made a cell of."""
    return cell[1:] if cell.startswith("'") and safe(cell) != cell else cell
