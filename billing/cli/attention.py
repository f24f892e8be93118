"""`billing attention` lists rows that need an operator; `billing release` releases held rows."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from billing.cli import arguments, engine, options, output
from billing.domain.errors import InvalidValue

if TYPE_CHECKING:
    from billing.services.reading.attention import Attention

ATTENTION = options.example("billing attention --json")
RELEASE = options.example(
    'billing release charge 7d2a… --reason "key restored"',
    'billing release subscription --all --reason "price corrected"',
)
COLUMNS = (
    "alarm", "kind", "id", "customer", "age", "amount", "cause", "why", "moves_by_itself_at",
    "command",
)  # fmt: skip


class Holdable(StrEnum):
    """The kinds of rows that can be held and released."""

    SUBSCRIPTION = "subscription"
    INVOICE = "invoice"
    CHARGE = "charge"
    REFUND = "refund"
    WALLET = "wallet"


def attention(limit: options.Limit = options.LIMIT, *, as_json: options.Json = False) -> None:
    """List rows that need an operator or are waiting, with the command that resolves each.

    Alarms come first: they do not resolve by themselves, and billing doctor exits 1 while there is
    one. The others are for information; some are retried automatically at the time shown.
    """
    most = arguments.page(limit)
    with engine.rows_and_clock() as (database, clock):
        from billing.services.reading import attention as services

        tick = engine.settings().tick_seconds
        found = services.listed(database, clock.now(), tick, most, horizon=engine.horizon())
        rows = [_row(each) for each in found]
        shown = [
            row
            | {
                "age": services.span(each.age_seconds),
                "moves_by_itself_at": each.item.moves_at,
            }
            for row, each in zip(rows, found, strict=True)
        ]
    output.answer(
        rows,
        as_json=as_json,
        people=lambda: output.table(shown, COLUMNS, empty="nothing needs an operator"),
    )


def _row(each: "Attention") -> dict[str, object]:
    return each.item._asdict() | {"age_seconds": each.age_seconds, "command": each.command}


def release(
    kind: Annotated[Holdable, typer.Argument(help="Kind of the held row.")],
    row: Annotated[str | None, typer.Argument(metavar="ID", help="Id of the held row.")] = None,
    reason: options.Reason = None,
    who: options.By = None,
    *,
    every: Annotated[
        bool, typer.Option("--all", help="Release all held rows of this kind.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Release a held row; the next tick does what is due."""
    by = arguments.operator(reason, who)
    if row is not None and every:
        raise InvalidValue("give an id or --all, not both")
    if row is None and not every:
        raise InvalidValue("give an id, or --all")
    with engine.writing() as context:
        from billing.services.operating import held_rows
        from billing.store.queries.holding import Kind

        wanted = None if row is None else arguments.identity(row, kind.value)
        released = held_rows.release(context, Kind(kind.value), wanted, by)
    document = {"kind": kind.value, "released": [str(each) for each in released]}
    words = f"{len(released)} {kind.value}{'' if len(released) == 1 else 's'} released"
    output.answer(document, as_json=as_json, people=lambda: output.say(words))
