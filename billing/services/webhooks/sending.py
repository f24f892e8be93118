"""Sending: attempt the due deliveries of one endpoint; no transaction is open during a request.

Each endpoint has one sender at a time, by a lease, and its own task, so that an endpoint that is
slow or dead delays no other. An endpoint that fails gets one attempt at a time, and after a failed
attempt its task ends. A sender that is killed leaves leases that end by themselves; the delivery is
then sent again with the same `webhook-id`.
"""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from time import monotonic
from uuid import UUID

from sqlalchemy import Connection

from billing.clock import real_now
from billing.domain import webhooks
from billing.domain.addresses import target
from billing.domain.errors import InvalidValue, NotConfigured
from billing.domain.events import SCHEDULER
from billing.domain.webhooks import Answer, DeliveryStatus
from billing.logs import Logger
from billing.outbound import posting
from billing.services.context import LEASE_SECONDS, Context
from billing.services.operating import safety
from billing.services.webhooks import endpoints, payloads
from billing.store.queries import deliveries
from billing.store.queries import webhooks as rows
from billing.store.queries.deliveries import Leased, Settled
from billing.store.queries.webhooks import Sealed

log = Logger(__name__)

AT_ONCE = 8
"""Concurrent requests to one endpoint that works."""
GROUP = 48
"""Deliveries that are leased together, so that their bodies are built with a few statements. After
a failure, or at the end of the time, those that were not attempted are released."""
SECONDS = 10
"""How long a task continues with one endpoint; a request may add 15 s. Both fit in the lease."""


def lease_due(context: Context, limit: int) -> list[UUID]:
    """Lease endpoints with due deliveries; the caller sends them.

    A copy of the database with another gateway sends nothing: the receivers are not its own.
    """
    with context.database.transaction() as connection:
        if not safety.is_ours(context, connection):
            return []
        return rows.lease_due(connection, real_now(), LEASE_SECONDS, limit)


def end_leases(context: Context, endpoint_ids: Sequence[UUID]) -> None:
    """End the leases of endpoints that will not be sent now."""
    with context.database.transaction() as connection:
        for endpoint_id in endpoint_ids:
            rows.set_lease(connection, endpoint_id, 0)


def send_due(context: Context, endpoint_id: UUID, seconds: float = SECONDS) -> bool:
    """Send due deliveries of an endpoint for some seconds; return whether to continue later.

    Then the lease is renewed; otherwise it is ended.
    """
    until = monotonic() + seconds
    goes_on = True
    while goes_on and monotonic() < until:
        goes_on = _send_group(context, endpoint_id, until)
    with context.database.transaction() as connection:
        rows.set_lease(connection, endpoint_id, LEASE_SECONDS if goes_on else 0)
    return goes_on


def _send_group(context: Context, endpoint_id: UUID, until: float) -> bool:
    """Send a group of deliveries; return whether all succeeded and there may be more."""
    with context.database.transaction() as connection:
        endpoint = rows.sealed(connection, endpoint_id)
        is_off = endpoint is None or endpoint.disabled_at is not None
        if endpoint is None or is_off or not safety.is_ours(context, connection):
            return False
        most = GROUP if endpoint.failing_since is None else 1
        leased = deliveries.lease_due(connection, endpoint_id, real_now(), LEASE_SECONDS, most)
        bodies = _bodies(connection, leased)
    if not leased:
        return False
    answers = _answers(context, endpoint, leased, bodies, until)
    return _settle(context, endpoint_id, leased, bodies, answers)


def _bodies(connection: Connection, leased: Sequence[Leased]) -> dict[UUID, bytes]:
    """Return the body of each delivery: the one that was sent before, or a new one."""
    new = [each.event_id for each in leased if each.body is None]
    made = payloads.bodies(connection, deliveries.events_of(connection, new)) if new else {}
    return {
        each.id: made[each.event_id] if each.body is None else each.body.encode() for each in leased
    }


def _answers(
    context: Context, endpoint: Sealed, leased: Sequence[Leased], bodies: dict[UUID, bytes],
    until: float,
) -> list[Answer | None]:  # fmt: skip
    """Attempt deliveries, some at the same time; None for those that were not attempted."""
    try:
        secrets = payloads.secrets(context.vault, endpoint, real_now())
        where = target(endpoint.url, context.settings.webhook_hosts)
    except NotConfigured:
        return [Answer(None, "secret_not_decrypted")] * len(leased)
    except InvalidValue:  # the settings allow less than when it was created
        return [Answer(None, "url_not_allowed")] * len(leased)
    failed = Event()

    def send(delivery: Leased) -> Answer | None:
        if failed.is_set() or (monotonic() >= until and delivery is not leased[0]):
            return None
        body, name = bodies[delivery.id], payloads.webhook_id(delivery.id)
        answer = posting.post(where, payloads.headers(name, real_now(), body, secrets), body)
        if not answer.succeeded:
            failed.set()
        return answer

    if len(leased) == 1:
        return [send(leased[0])]
    with ThreadPoolExecutor(min(AT_ONCE, len(leased)), thread_name_prefix="webhook") as pool:
        return list(pool.map(send, leased))


def _settle(
    context: Context, endpoint_id: UUID, leased: Sequence[Leased], bodies: dict[UUID, bytes],
    found: Sequence[Answer | None],
) -> bool:  # fmt: skip
    now = real_now()
    attempted = [
        (each, answer) for each, answer in zip(leased, found, strict=True) if answer is not None
    ]
    answers = [answer for _, answer in attempted]
    settled = [_settled(each, answer, bodies[each.id]) for each, answer in attempted]
    left = [each.id for each, answer in zip(leased, found, strict=True) if answer is None]
    with context.database.transaction() as connection:
        row = rows.sealed(connection, endpoint_id, locked=True)
        deliveries.settle(connection, _without_erased(connection, leased, settled))
        if left:
            deliveries.end_leases(connection, left)
        if row is not None and row.disabled_at is None:
            since = webhooks.failing_since(answers, row.failing_since, now)
            if since != row.failing_since:
                rows.change(connection, endpoint_id, failing_since=since)
            cause = webhooks.disabled_cause(answers, since, now)
            if cause is not None:
                endpoints.disable(connection, endpoint_id, cause, context.clock.now(), SCHEDULER)
                log.warning("webhook.disabled", webhook=str(endpoint_id), why=cause)
    failed = [answer.error for answer in answers if answer.error is not None]
    log.info(
        "webhook.sent", webhook=str(endpoint_id), deliveries=len(answers), failed=len(failed),
        error=failed[0] if failed else None,
    )  # fmt: skip
    return not failed


def _without_erased(
    connection: Connection, leased: Sequence[Leased], settled: Sequence[Settled]
) -> list[Settled]:
    """Store no body about a customer who was erased during the attempt."""
    event_of = {each.id: each.event_id for each in leased}
    kept = [event_of[each.id] for each in settled if each.body is not None]
    erased = deliveries.erased(connection, kept) if kept else set()
    return [each._replace(body=None) if event_of[each.id] in erased else each for each in settled]


def _settled(delivery: Leased, answer: Answer, body: bytes) -> Settled:
    now = real_now()
    attempts = delivery.attempts + 1
    jitter = random.randint(-webhooks.JITTER_PERCENT_MAX, webhooks.JITTER_PERCENT_MAX)
    result = webhooks.result(answer, attempts, now, jitter)
    is_settled = result.status is not DeliveryStatus.PENDING
    return Settled(
        delivery.id, result.status, attempts, result.next_attempt_at, answer.status_code,
        answer.error, now if is_settled else None, None if is_settled else body.decode(),
    )  # fmt: skip
