"""Kill switch: stop and start charging. While it is on, no new charge is sent."""

from datetime import datetime
from typing import TypedDict

from sqlalchemy import Connection

from billing.domain.events import Actor, event
from billing.services.collecting import breaker
from billing.services.context import Context, Request, once
from billing.services.operating import safety
from billing.store.queries import engine, events


class Stopped(TypedDict):
    """The answer to stopping; `already` is whether charging was stopped before."""

    charging: str
    already: bool
    stopped_at: str
    stopped_by: str | None
    stopped_reason: str | None


class Started(TypedDict):
    """The answer to starting; `already` is whether charging was not stopped."""

    charging: str
    already: bool


def stop_charging(context: Context, by: Actor, request: Request | None = None) -> Stopped:
    """Stop sending new charges immediately; everything else continues.

    If charging was stopped before, `already` says since when, by whom and why; nothing is written.
    """

    def act(connection: Connection, now: datetime) -> Stopped:
        is_new = engine.set_stopped(connection, now, by.reason)
        if is_new:
            events.record(connection, [event("engine.charging_stopped", at=now, by=by)])
        row = engine.state(connection)
        return {
            "charging": "stopped", "already": not is_new,
            "stopped_at": (row.stopped_at or now).isoformat(),
            "stopped_by": engine.who_stopped(connection), "stopped_reason": row.stopped_reason,
        }  # fmt: skip

    return once(context, request, act)


def start_charging(context: Context, by: Actor, request: Request | None = None) -> Started:
    """Start charging what is due, at the gateway named in the settings.

    With this command an operator confirms that a copied database may call another gateway.
    """

    def act(connection: Connection, now: datetime) -> Started:
        is_new = safety.claim_gateway(context, connection)
        if is_new:
            host = context.settings.gateway_host
            events.record(connection, [event("gateway.changed", at=now, by=by, gateway=host)])
        if engine.set_stopped(connection, None, None):
            is_new = True
            events.record(connection, [event("engine.charging_started", at=now, by=by)])
        breaker.reset(connection, now, by)
        return {"charging": "started", "already": not is_new}

    return once(context, request, act)
