"""`billing today`: the money of each hour of today, beside yesterday and the same day last week."""

from typing import TYPE_CHECKING

from billing.cli import engine, options, output

if TYPE_CHECKING:
    from billing.services.reading.today import Today

EXAMPLE = options.example("billing today --json")
COLUMNS = (
    "begins_at", "charges_count", "amount", "declines_count", "amount_refunded",
    "amount_yesterday", "amount_week_ago",
)  # fmt: skip


def today(*, as_json: options.Json = False) -> None:
    """Show what was charged in each hour, beside yesterday and the same day last week."""
    with engine.writing() as context:
        from billing.services.reading import today as services

        found = services.read(context)
    output.answer(found, as_json=as_json, people=lambda: _people(found))


def _people(found: "Today") -> None:
    output.table(found.hours, COLUMNS, empty="the day has not begun")
    output.say(
        f"charged until now: {_money(found.amount)};"
        f" yesterday {_money(found.amount_yesterday)} of {_money(found.amount_yesterday_in_all)},"
        f" a week ago {_money(found.amount_week_ago)} of {_money(found.amount_week_ago_in_all)}"
    )
    if found.uncounted_count:
        output.say(f"{found.uncounted_count:,} events are not counted yet; ask again")


def _money(rupiah: int) -> str:
    return output.written("amount", rupiah)
