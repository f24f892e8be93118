"""`billing now`: the console's first page in a terminal: is the engine running, is money moving."""

from dataclasses import fields
from typing import TYPE_CHECKING

from billing.cli import engine, options, output

if TYPE_CHECKING:
    from billing.services.reading.now import Situation

EXAMPLE = options.example("billing now --json")
COUNTS = ("alarm", "kind", "cause", "rows", "since_at")


def now(*, as_json: options.Json = False) -> None:
    """Show whether the engine is running, and whether money is moving.

    The day begins at midnight in Jakarta. Redis and the gateway are not asked; billing doctor does.
    """
    with engine.writing() as context:
        from billing.services.reading import now as services

        found = services.read(context)
    shown = {each.name: getattr(found, each.name) for each in fields(found)}
    output.answer(shown, as_json=as_json, people=lambda: _people(found))


def _people(found: "Situation") -> None:
    output.say(_charging(found))
    output.say(_ticks(found))
    gateway = found.gateway
    if gateway.tripped_at is not None:
        output.say(f"the breaker stopped charging at {output.written('at', gateway.tripped_at)}")
    if gateway.resting_until is not None:
        until = output.written("until", gateway.resting_until)
        output.say(f"calls to the gateway are paused until {until} (pause {gateway.troubles})")
    today, due, waiting = found.today, found.due, found.waiting
    output.say(
        f"today, since {output.written('at', found.day_begins_at)}:"
        f" {_money(today.succeeded_amount)} in {today.succeeded:,} charges,"
        f" {today.declined:,} declined, {today.unsent:,} unsent;"
        f" refunded {_money(today.refunded_amount)} in {today.refunded:,}"
    )
    oldest = f", the oldest since {output.written('at', due.oldest_at)}" if due.oldest_at else ""
    output.say(
        f"due and uncharged: {due.invoices:,} invoices, {_money(due.amount)}{oldest};"
        f" {due.periods:,} periods to open"
    )
    since = waiting.oldest_unresolved_at
    output.say(
        f"unresolved: {waiting.unresolved:,} charges"
        + (f", the oldest since {output.written('at', since)}" if since else "")
        + f"; {waiting.unsettled_refunds:,} refunds;"
        f" {waiting.pending_deliveries:,} webhook deliveries to send"
    )
    output.table(found.counts, COUNTS, empty="nothing needs an operator")
    if found.counts:
        output.say("each row with its command: billing attention")


def _charging(found: "Situation") -> str:
    if found.stopped_at is not None:
        why = found.stopped_reason or "no reason was given"
        return (
            f"CHARGING IS STOPPED since {output.written('at', found.stopped_at)}"
            f" by {found.stopped_by or output.NOTHING}: {why}"
        )
    if not found.is_ours:
        return (
            f"NOTHING IS CHARGED: the database belongs to {found.gateway.gateway_host},"
            " and the settings name another gateway or client id"
        )
    return "charging is on"


def _ticks(found: "Situation") -> str:
    late = found.late_ticks
    if not late:
        never = [tick.name for tick in found.ticks if tick.succeeded_at is None]
        if never:
            runs = f"{len(found.ticks) - len(never)} of {len(found.ticks)} ticks run"
            return f"{runs}; not once yet: {', '.join(never)}"
        return f"all {len(found.ticks)} ticks run"
    words = "NOT EVERY TICK RUNS" if found.is_running else "THE ENGINE IS NOT RUNNING"
    names = ", ".join(
        f"{tick.name} (last success: {output.written('at', tick.succeeded_at)})" for tick in late
    )
    return f"{words}: {names}"


def _money(rupiah: int) -> str:
    return output.written("amount", rupiah)
