"""Endpoints: create, change, delete and test the addresses that receive webhooks.

A secret is shown when it is made, and is stored encrypted. Instants of endpoints are real time; the
events about them are in billing time, like all events.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import Connection

from billing.clock import real_now
from billing.domain import webhooks
from billing.domain.addresses import target
from billing.domain.documents import Inline
from billing.domain.errors import IllegalMove, InvalidValue, NotKnown
from billing.domain.event_kinds import checked_types
from billing.domain.events import Actor, event
from billing.domain.payloads import Json
from billing.domain.text import checked_name
from billing.domain.webhooks import Answer
from billing.outbound import posting, signing
from billing.services.context import Context, Request, derived_id, id_in, once
from billing.services.operating import safety, token_keys
from billing.services.reading.results import local
from billing.services.webhooks import event_feed, payloads
from billing.store.queries import event_feed as feed_rows
from billing.store.queries import events
from billing.store.queries import webhooks as rows
from billing.store.queries.webhooks import Endpoint
from billing.store.session import Database

ENDPOINTS_MAX = 50
"""Each endpoint gets its own delivery of each event."""
DESCRIPTION_MAX = 200


class WithSecret(NamedTuple):
    """An endpoint and its current secret, for the one who just made it."""

    endpoint: Inline[Endpoint]
    secret: str


def create(
    context: Context,
    url: str,
    by: Actor,
    *,
    event_types: Sequence[str] = (),
    description: str | None = None,
    request: Request | None = None,
) -> WithSecret:
    """Create an endpoint that receives the events from now on; without types, all of them.

    Raises InvalidValue for a URL that is not allowed or a type that no event has.
    """
    target(url, context.settings.webhook_hosts)
    types = checked_types(list(event_types))
    _check_description(description)
    event_feed.sequence(context)  # so that the end of the feed is where it begins

    def act(connection: Connection, now: datetime) -> Json:
        feed_rows.lock(connection)  # deliveries of later positions are made after our commit
        if rows.count(connection) >= ENDPOINTS_MAX:
            raise IllegalMove(f"there are {ENDPOINTS_MAX} endpoints, which is all there may be")
        endpoint_id = derived_id(connection, request) or uuid4()
        secret = context.vault.seal(signing.new_secret().encode())
        new = rows.NewEndpoint(
            endpoint_id, url, types, description or None, secret, feed_rows.end(connection),
            real_now(),
        )  # fmt: skip
        rows.add(connection, new)
        _record(connection, "webhook.created", endpoint_id, now, by, event_types=types)
        return {"webhook": str(endpoint_id)}

    return with_secret(context, id_in(once(context, request, act), "webhook"))


def every(database: Database) -> list[Endpoint]:
    """Return all endpoints, the oldest first."""
    with database.transaction() as connection:
        return [local(row) for row in rows.listed(connection)]


def one(database: Database, endpoint_id: UUID) -> Endpoint:
    """Return one endpoint, or raise NotKnown."""
    with database.transaction() as connection:
        return local(_known(rows.one(connection, endpoint_id), endpoint_id))


class Changes(NamedTuple):
    """What an update changes; None leaves a value as it is. An empty description removes it."""

    url: str | None = None
    event_types: Sequence[str] | None = None
    description: str | None = None
    enabled: bool | None = None


def update(
    context: Context,
    endpoint_id: UUID,
    changes: Changes,
    by: Actor,
    request: Request | None = None,
) -> Endpoint:
    """Change an endpoint. Enabled again, it receives the events from now on.

    Disabling cancels its pending deliveries; `resending.replay` sends them later.
    """
    written = _written(context, changes)
    if changes.enabled:
        event_feed.sequence(context)

    def act(connection: Connection, now: datetime) -> Json:
        if changes.enabled:
            feed_rows.lock(connection)
        row = _known(rows.lock(connection, endpoint_id), endpoint_id)
        if written:
            rows.change(connection, endpoint_id, **written)
            _record(connection, "webhook.updated", endpoint_id, now, by, changed=sorted(written))
        if changes.enabled is False and row.disabled_at is None:
            disable(connection, endpoint_id, webhooks.DISABLED_BY_OPERATOR, now, by)
        if changes.enabled and row.disabled_at is not None:
            rows.change(
                connection, endpoint_id, disabled_at=None, disabled_cause=None,
                failing_since=None, starts_after=feed_rows.end(connection),
            )  # fmt: skip
            _record(connection, "webhook.enabled", endpoint_id, now, by)
        return {"webhook": str(endpoint_id)}

    once(context, request, act)
    return one(context.database, endpoint_id)


def _written(context: Context, changes: Changes) -> rows.Changes:
    """Check what an update changes. Raises InvalidValue."""
    written: rows.Changes = {}
    if changes.url is not None:
        target(changes.url, context.settings.webhook_hosts)
        written["url"] = changes.url
    if changes.event_types is not None:
        written["event_types"] = checked_types(list(changes.event_types))
    if changes.description is not None:
        _check_description(changes.description)
        written["description"] = changes.description or None
    if not written and changes.enabled is None:
        raise InvalidValue("nothing to change: give a URL, event types, a description or a state")
    return written


def disable(
    connection: Connection, endpoint_id: UUID, cause: str, now: datetime, by: Actor
) -> None:
    """Disable an endpoint whose lock the caller holds; a tick cancels its pending deliveries."""
    rows.change(connection, endpoint_id, disabled_at=real_now(), disabled_cause=cause)
    _record(connection, "webhook.disabled", endpoint_id, now, by, why=cause)


def delete(context: Context, endpoint_id: UUID, by: Actor, request: Request | None = None) -> None:
    """Delete an endpoint: it is gone at once, and a tick removes its deliveries."""

    def act(connection: Connection, now: datetime) -> Json:
        row = _known(rows.lock(connection, endpoint_id), endpoint_id)
        at = real_now()
        rows.change(
            connection, endpoint_id, deleted_at=at, disabled_at=row.disabled_at or at,
            disabled_cause=row.disabled_cause or webhooks.DELETED,
        )  # fmt: skip
        _record(connection, "webhook.deleted", endpoint_id, now, by)
        return {"webhook": str(endpoint_id)}

    once(context, request, act)


def rotate_secret(
    context: Context, endpoint_id: UUID, by: Actor, request: Request | None = None
) -> WithSecret:
    """Make a new secret; the one before also signs for 24 hours, an older one not any more."""

    def act(connection: Connection, now: datetime) -> Json:
        row = rows.sealed(connection, endpoint_id, locked=True)
        if row is None:
            raise _unknown(endpoint_id)
        # A previous secret that no key decrypts would stop signing for a day.
        keeps = token_keys.opens(context, row.secret_sealed)
        rows.change(
            connection, endpoint_id,
            secret_sealed=context.vault.seal(signing.new_secret().encode()),
            previous_secret_sealed=row.secret_sealed if keeps else None,
            previous_secret_until=real_now() + webhooks.PREVIOUS_SECRET if keeps else None,
        )  # fmt: skip
        _record(connection, "webhook.secret_rotated", endpoint_id, now, by)
        return {"webhook": str(endpoint_id)}

    once(context, request, act)
    return with_secret(context, endpoint_id)


def send_test(context: Context, endpoint_id: UUID) -> Answer:
    """Send an event of the type `webhook.test` now, and return the answer; nothing is stored."""
    with context.database.transaction() as connection:
        safety.require_ours(context, connection)
        row = rows.sealed(connection, endpoint_id)
    if row is None:
        raise _unknown(endpoint_id)
    now = real_now()
    headers = payloads.headers(
        webhook_id=payloads.webhook_id(uuid4()), at=now, body=payloads.test_body(endpoint_id, now),
        signer=payloads.signer(context.vault, row, now),
    )  # fmt: skip
    return posting.post(
        target(row.url, context.settings.webhook_hosts), headers,
        payloads.test_body(endpoint_id, now),
    )  # fmt: skip


def known(connection: Connection, endpoint_id: UUID) -> Endpoint:
    """Return one endpoint, locked, or raise NotKnown."""
    return _known(rows.lock(connection, endpoint_id), endpoint_id)


def _known(row: Endpoint | None, endpoint_id: UUID) -> Endpoint:
    if row is None:
        raise _unknown(endpoint_id)
    return row


def _unknown(endpoint_id: UUID) -> NotKnown:
    return NotKnown(
        f"no webhook endpoint has the id {endpoint_id}", hint="see: billing webhook list"
    )


def with_secret(context: Context, endpoint_id: UUID) -> WithSecret:
    """Return an endpoint with its current secret, or raise NotKnown."""
    with context.database.transaction() as connection:
        shown = local(_known(rows.one(connection, endpoint_id), endpoint_id))
        row = rows.sealed(connection, endpoint_id)
    if row is None:
        raise _unknown(endpoint_id)
    return WithSecret(shown, context.vault.open(row.secret_sealed).decode())


def _check_description(description: str | None) -> None:
    if description:
        checked_name("description", description, DESCRIPTION_MAX, field="description")


def _record(
    connection: Connection, kind: str, endpoint_id: UUID, now: datetime, by: Actor, **data: object
) -> None:
    recorded = event(kind, at=now, by=by, data={"webhook": str(endpoint_id), **data})
    events.record(connection, [recorded])
