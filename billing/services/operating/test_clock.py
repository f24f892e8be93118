"""Test clock: move it from one due instant to the next, in order.

Ticks are sent from here instead of by beat, and the rows show when their work is done. Real time
passes only while workers are busy.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Event

from billing.clock import real_now
from billing.domain.errors import BillingError, InvalidValue
from billing.domain.events import Actor, event
from billing.domain.instants import spoken
from billing.services.context import Context
from billing.store.queries import engine, events
from schedules.beat import NOTICES, TICKS

LOOKS_SECONDS = (0.004, 0.006, 0.009, 0.013, 0.02)
"""Waits between checks of the rows; the last one repeats. Each check costs some CPU."""
SEND_AGAIN_AFTER = timedelta(seconds=2)
"""Send a tick again after this time: a message may be lost, or a tick may have run too early."""
PATIENCE = timedelta(seconds=60)
"""How long work at one instant may take without progress; slow calls have their own limit."""

Tell = Callable[[datetime], None]


class NothingMoves(BillingError):
    """Work is due, but no worker does it."""


def advance(
    context: Context,
    send: Callable[[str], None],
    until: datetime,
    by: Actor,
    tell: Tell | None = None,
) -> None:
    """Move the clock to `until`, stopping at each due instant until its work is done.

    `send` publishes a tick by its task name; `tell` is called with each instant reached.
    Raises InvalidValue (no test clock, or backwards) or NothingMoves.
    """
    set_clock(context, context.clock.now(), by)
    while True:
        _work_off(context, send)
        with context.database.transaction() as connection:
            due = engine.next_due(connection)
        if due is None or due > until:
            break
        set_clock(context, due, by)
        if tell is not None:
            tell(due)
    set_clock(context, until, by)
    _work_off(context, send)


def set_clock(context: Context, at: datetime, by: Actor) -> datetime:
    """Move the test clock forward, and return its new time.

    Raises InvalidValue without a test clock, or for an earlier time: the clock cannot undo what was
    recorded.
    """
    if not context.settings.test_clock:
        raise InvalidValue("there is no test clock; start everything with BILLING_TEST_CLOCK=1")
    with context.database.transaction() as connection:
        stands = engine.clock_at(connection)
        if stands is not None and at < stands:
            raise InvalidValue(
                f"the test clock is at {spoken(stands)} and moves forward only;"
                f" {spoken(at)} is earlier"
            )
        engine.set_clock(connection, at)
        events.record(connection, [event("clock.set", at=at, by=by)])
    return at


def _work_off(context: Context, send: Callable[[str], None]) -> None:
    """Send ticks until nothing is due at the current clock time."""
    now = context.clock.now()
    if _is_quiet(context, now, wait_for_calls=True):
        return
    pause, begun = Event(), real_now()
    sent_at, looks = None, 0
    longest_call = timedelta(seconds=float(context.settings.doku_timeout_seconds))
    patience = PATIENCE + longest_call
    # A call whose process was killed stays in flight until its status query is due, so no call is
    # waited for longer than it may take.
    while not _is_quiet(context, now, wait_for_calls=real_now() - begun < longest_call):
        if sent_at is None or real_now() - sent_at > SEND_AGAIN_AFTER:
            for tick in (*TICKS, NOTICES):
                send(tick)
            sent_at = real_now()
        if real_now() - begun > patience:
            raise NothingMoves(_stuck(context, now))
        pause.wait(LOOKS_SECONDS[min(looks, len(LOOKS_SECONDS) - 1)])
        looks += 1


def _is_quiet(context: Context, now: datetime, *, wait_for_calls: bool) -> bool:
    with context.database.transaction() as connection:
        due = engine.next_due(connection)
        if due is not None and due <= now:
            return False
        return not (wait_for_calls and engine.in_flight(connection))


def _stuck(context: Context, now: datetime) -> str:
    with context.database.transaction() as connection:
        stopped = engine.is_stopped(connection)
    if stopped:
        return f"invoices are due at {spoken(now)}, but charging is stopped"
    return f"work is due at {spoken(now)}, but no worker does it; is one running?"
