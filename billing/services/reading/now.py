"""Now: whether the engine is running, and whether money moves. Nothing is written.

`at` is billing time, which a test clock may set; ticks and pauses are in real time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import NamedTuple

from billing.clock import real_now
from billing.domain.instants import HOME
from billing.services.context import Context
from billing.services.reading import attention
from billing.store.queries import console, engine, metrics
from billing.store.queries.attention import Count
from billing.store.queries.console import Due, GatewayState, Today
from billing.store.queries.engine import Heartbeat
from billing.store.queries.metrics import Now
from schedules import beat

SPARE_SECONDS = 10
"""How much later than three intervals a tick may be."""
SELDOM = timedelta(minutes=10)
"""The interval from which a tick counts as one that runs seldom."""
UNDONE_MAX = timedelta(hours=3)
"""How old the last success of a tick may be that skips its work while it was done lately."""


class Tick(NamedTuple):
    """A tick of the beat table, and whether it had no success lately.

    One that `is_paced` skips its work while it was done lately: `began_at` says when it last ran.
    """

    name: str
    began_at: datetime | None
    succeeded_at: datetime | None
    failed_at: datetime | None
    error: str | None
    is_late: bool
    is_seldom: bool
    is_paced: bool = False


@dataclass(frozen=True, slots=True)
class Situation:
    """The state of the engine and of its money at one moment.

    `counts` are what needs attention, by kind and cause; `is_ours` is whether the database belongs
    to the gateway of the settings.
    """

    at: datetime
    real_at: datetime
    day_begins_at: datetime
    stopped_at: datetime | None
    stopped_by: str | None
    stopped_reason: str | None
    gateway: GatewayState
    is_ours: bool
    waiting: Now
    due: Due
    today: Today
    ticks: Sequence[Tick]
    counts: Sequence[Count]

    @property
    def late_ticks(self) -> list[Tick]:
        """Return the ticks that did not succeed lately."""
        return [tick for tick in self.ticks if tick.is_late]

    @property
    def is_running(self) -> bool:
        """Whether any tick succeeded lately; one that runs seldom does not tell."""
        return any(not each.is_late for each in self.ticks if not each.is_seldom)


def read(context: Context) -> Situation:
    """Read the situation."""
    at, real_at, settings = context.clock.now(), real_now(), context.settings
    midnight = datetime.combine(at.astimezone(HOME).date(), time(), HOME)
    with context.database.transaction() as connection:
        gateway = console.gateway(connection)
        own = (settings.gateway_host, settings.doku_client_id)
        return Situation(
            at=at,
            real_at=real_at,
            day_begins_at=midnight,
            stopped_at=gateway.stopped_at,
            stopped_by=gateway.stopped_by,
            stopped_reason=gateway.stopped_reason,
            gateway=gateway,
            is_ours=gateway.gateway_host is None
            or (gateway.gateway_host, gateway.gateway_client_id) == own,
            waiting=metrics.read_now(connection),
            due=console.due(connection, at),
            today=console.today(connection, midnight),
            ticks=ticks(engine.heartbeats(connection), real_at, intervals(settings.tick_seconds)),
            counts=attention.counted(context.joined(connection).database, at,
                                     settings.tick_seconds),
        )  # fmt: skip


def stopped_at(context: Context) -> datetime | None:
    """Return when charging was stopped, if it is."""
    with context.database.transaction() as connection:
        return engine.state(connection).stopped_at


def intervals(tick_seconds: Decimal) -> dict[str, timedelta]:
    """Return how often each tick runs, in the order of the beat table."""
    table = beat.schedule(tick_seconds)
    return {name.removeprefix("ticks."): row["schedule"] for name, row in table.items()}


def ticks(found: Sequence[Heartbeat], now: datetime, every: dict[str, timedelta]) -> list[Tick]:
    """Return each tick of the beat table; one that never succeeded is late."""
    known = {each.tick: each for each in found}
    return [_tick(name, known.get(name), now, interval) for name, interval in every.items()]


def _tick(name: str, last: Heartbeat | None, now: datetime, interval: timedelta) -> Tick:
    is_paced = f"ticks.{name}" in beat.PACED
    is_seldom = interval >= SELDOM
    if last is None:
        # After a start a tick that runs once an hour is not late before it has run.
        return Tick(name, None, None, None, None, not is_seldom, is_seldom, is_paced)
    patience = 3 * interval + timedelta(seconds=SPARE_SECONDS)
    seen_at = last.succeeded_at
    is_late = seen_at is None and (not is_seldom or last.error is not None)
    if is_paced and last.error is None:
        is_late = seen_at is not None and now - seen_at > UNDONE_MAX
        seen_at = last.at
    if seen_at is not None:
        is_late = is_late or now - seen_at > patience
    return Tick(
        name, last.at, last.succeeded_at, last.failed_at, last.error, is_late, is_seldom, is_paced
    )
