"""`billing today`: the money of each hour of today, beside yesterday and the same day last week."""

from typing import TYPE_CHECKING

from billing.cli import engine, options, output
from billing.domain.instants import HOME

if TYPE_CHECKING:
    from billing.services.reading.today import Hour, Today

EXAMPLE = options.example("billing today --json")
NUMBERS = ("charges", "charged", "declined", "refunded", "yesterday", "week_ago")
COLUMNS = ("hour", *NUMBERS)


def today(*, as_json: options.Json = False) -> None:
    """Show what was charged in each hour, beside yesterday and the same day last week."""
    with engine.writing() as context:
        from billing.services.reading import today as services

        found = services.read(context)
    output.answer(found, as_json=as_json, people=lambda: _people(found))


def _people(found: "Today") -> None:
    rows = [_row(each) for each in found.hours if _has_any(each)]
    if rows:
        output.say(f"{found.at.astimezone(HOME).date()}, in rupiah")
    output.table(rows, COLUMNS, empty="nothing was charged or refunded", right=NUMBERS)
    if rows and len(rows) < len(found.hours):
        output.say("hours without anything are left out; all are in --json")
    output.say(
        f"charged until now: {_money(found.amount)};"
        f" yesterday {_money(found.amount_yesterday)} of {_money(found.amount_yesterday_in_all)},"
        f" a week ago {_money(found.amount_week_ago)} of {_money(found.amount_week_ago_in_all)}"
    )
    if found.uncounted_count:
        output.say(f"{found.uncounted_count:,} events are not counted yet; ask again")


def _row(each: "Hour") -> dict[str, str]:
    numbers = (
        each.charges_count, each.amount, each.declines_count, each.amount_refunded,
        each.amount_yesterday, each.amount_week_ago,
    )  # fmt: skip
    shown = [f"{number:,}" for number in numbers]
    hour = each.begins_at.astimezone(HOME).strftime("%H:%M")
    return {"hour": hour, **dict(zip(NUMBERS, shown, strict=True))}


def _has_any(each: "Hour") -> bool:
    """Whether an hour has any number besides its beginning."""
    return any(each[1:])


def _money(rupiah: int) -> str:
    return output.written("amount", rupiah)
