"""Whole rupiah: limits, and division that loses nothing.

Amounts are `int`, never float. The upper limit is the gateway's `number (10)`.
"""

from billing.domain.errors import InvalidValue

MAX_AMOUNT = 9_999_999_999


def checked_amount(amount: int, what: str = "amount") -> int:
    """Return `amount` if the gateway can charge it, or raise InvalidValue."""
    if isinstance(amount, bool) or not isinstance(amount, int):
        raise InvalidValue(f"{what} must be whole rupiah, not {amount!r}", field="amount")
    if not 1 <= amount <= MAX_AMOUNT:
        said = f"{what} must be between 1 and {MAX_AMOUNT:,} rupiah, not {amount:,}"
        raise InvalidValue(said, field="amount")
    return amount


def prorate(amount: int, part_days: int, whole_days: int) -> int:
    """Compute the share of `amount` for `part_days` of `whole_days`, rounded half-up.

    The other share is `amount - prorate(...)`, so that both parts add up to the whole.
    """
    if not 0 <= part_days <= whole_days or whole_days <= 0:
        raise ValueError(f"{part_days} of {whole_days} days is no share")
    return (2 * amount * part_days + whole_days) // (2 * whole_days)


def rupiah(amount: int) -> str:
    """Format an amount for people: `Rp 12,500`."""
    return f"Rp {amount:,}"
