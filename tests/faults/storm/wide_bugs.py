"""Deliberate bugs that only a wide storm finds: one for each rule that combinations may break.

They are mistakes that passed every test of one feature alone. Nothing here is used by the engine.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from billing.domain.event_feed import Mark
from billing.domain.events import GATEWAY
from billing.domain.intents import Meeting
from billing.domain.notifications import Notification, Said
from billing.domain.outcomes import Declined, Fault, Succeeded, Unknown
from billing.domain.periods import Return
from billing.domain.settlement import Source
from billing.gateway import refusals
from billing.services.collecting import notifications, prechecks, settling
from billing.services.collecting.settling import News
from billing.services.context import Context
from billing.services.operating import approval_terms, held_rows
from billing.services.subscriptions import intents, proration, subscribing, transitions
from billing.services.webhooks import event_feed
from billing.store.queries import approvals as approval_rows
from billing.store.queries import commands, conservation, notices, subscriptions
from billing.store.queries.notifications import named
from tests.faults.storm.bugs import Bug
from tests.faults.storm.world import World, put


def cut_days_are_kept(_world: World, undo: ExitStack) -> None:
    """A paid period is cut, and its unused days are neither refunded nor credited."""

    def give(*_args: Any) -> int:
        return 0

    put(undo, proration, "give", give)


def declined_payout_loses_the_balance(_world: World, undo: ExitStack) -> None:
    """A payout that the gateway declines does not go back to its credit."""

    def undo_pay_out(*_args: Any) -> None:
        return

    put(undo, conservation, "undo_pay_out", undo_pay_out)


def one_row_stops_all(_world: World, undo: ExitStack) -> None:
    """A batch in which one row fails fails as a whole."""

    def isolate(ids: Sequence[Any], work: Callable[[Any], Any], *_rest: Any) -> list[Any]:
        return [work(ids)]

    put(undo, held_rows, "isolate", isolate)


def plans_vanish(_world: World, undo: ExitStack) -> None:
    """What something else makes impossible is forgotten, and no event tells."""

    def write(connection: Connection, row: Any, meeting: Meeting, *_rest: Any) -> None:
        if meeting.columns:
            subscriptions.change(connection, row.id, **meeting.columns)

    put(undo, intents, "_write", write)


def pause_takes_the_period_it_ends_with(_world: World, undo: ExitStack) -> None:
    """A pause that ends exactly on a due date leaves out the period which begins there."""
    right = transitions.resumed

    def resumed(row: Any, at: datetime) -> Return:
        return right(row, at + timedelta(seconds=1))

    put(undo, transitions, "resumed", resumed)


def any_start_is_meant(_world: World, undo: ExitStack) -> None:
    """A start far in the past is billed at once without `backdate`."""

    def check_start(*_args: Any, **_options: Any) -> dict[str, Any]:
        return {}

    put(undo, subscribing, "_check_start", check_start)


def pages_are_final(_world: World, undo: ExitStack) -> None:
    """A page of a proxy counts as a decline, and no status query precedes a retry."""
    right = refusals.judged

    def judged(*args: Any, **options: Any) -> Any:
        said = right(*args, **options)
        foreign = isinstance(said, Unknown) and said.unrecognised
        return Declined(Fault.OTHER, said.reason) if foreign else said

    def look(_context: Context, row: Mapping[Any, Any], _now: datetime) -> prechecks.Sight:
        return prechecks.Sight(row)

    put(undo, refusals, "judged", judged)
    put(undo, prechecks, "_look", look)


def moved_dates_are_not_announced(_world: World, undo: ExitStack) -> None:
    """One notice a period: a charge that gets another date after it is made without one."""
    put(undo, notices, "_MOVED", "false")


def no_rule_of_time(world: World, undo: ExitStack) -> None:
    """Five of them at once, each of which has a kind of finding of its own."""
    for bug in (cut_days_are_kept, plans_vanish, pause_takes_the_period_it_ends_with,
                any_start_is_meant, moved_dates_are_not_announced):  # fmt: skip
        bug(world, undo)


def keys_are_ignored(_world: World, undo: ExitStack) -> None:
    """A repeated call is a new one."""

    def begin(*_args: Any) -> bool:
        return True

    put(undo, commands, "begin", begin)


def late_events_are_skipped(_world: World, undo: ExitStack) -> None:
    """The feed goes on behind the highest id, also while events with lower ids are written."""

    def advanced(_mark: Mark, highest: int, *_rest: Any) -> Mark:
        return Mark(highest)

    put(undo, event_feed.event_feed, "advanced", advanced)


def notifications_are_believed(_world: World, undo: ExitStack) -> None:
    """What a notification says is booked without asking the gateway."""

    def receive(context: Context, notification: Notification) -> None:
        with context.database.transaction() as connection:
            charge = named(connection, notification.request_id, notification.number)
        if charge is not None and notification.said is Said.SUCCEEDED:
            settling.settle(context, [News(charge.id, Succeeded())], Source.STATUS, GATEWAY)

    put(undo, notifications, "receive", receive)


def requests_are_not_compared(_world: World, undo: ExitStack) -> None:
    """A request is carried out with the terms of now, not with those that were shown."""

    def same(*_args: Any) -> bool:
        return True

    put(undo, approval_terms, "is_same", same)
    put(undo, approval_terms, "is_based_on", same)


def limits_are_not_added_up(_world: World, undo: ExitStack) -> None:
    """Each refund is compared with the limit alone: parts are a way around it."""

    def refunded_since(*_args: Any) -> int:
        return 0

    put(undo, approval_rows, "refunded_since", refunded_since)


def no_rule_of_two(world: World, undo: ExitStack) -> None:
    """Both of them at once, each of which has a finding of its own."""
    for bug in (requests_are_not_compared, limits_are_not_added_up):
        bug(world, undo)


def no_rule_of_http(world: World, undo: ExitStack) -> None:
    """The three of them at once, each of which has a kind of finding of its own."""
    for bug in (keys_are_ignored, late_events_are_skipped, notifications_are_believed):
        bug(world, undo)


WIDE_BUGS: Mapping[str, Bug] = {
    bug.__name__: bug
    for bug in (
        cut_days_are_kept,
        declined_payout_loses_the_balance,
        one_row_stops_all,
        plans_vanish,
        pause_takes_the_period_it_ends_with,
        any_start_is_meant,
        pages_are_final,
        no_rule_of_time,
        keys_are_ignored,
        late_events_are_skipped,
        notifications_are_believed,
        moved_dates_are_not_announced,
        no_rule_of_http,
        requests_are_not_compared,
        limits_are_not_added_up,
        no_rule_of_two,
    )
}
