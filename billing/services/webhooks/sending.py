"""Sending: attempt the due deliveries of one endpoint; no transaction is open during a request.

Each endpoint has one sender at a time, by a lease, and its own task, so that an endpoint that is
slow or dead delays no other. An endpoint that fails gets one attempt at a time, and after a failed
attempt its task ends. A sender that is killed leaves leases that end by themselves; the delivery is
then sent again with the same `webhook-id`.
"""

import random
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from threading import Event
from time import monotonic
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from billing.clock import real_now
from billing.domain import webhooks
from billing.domain.addresses import Target, target
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
from billing.store.queries.deliveries import Leased, Sequenced, Settled
from billing.store.queries.webhooks import Sealed

log = Logger(__name__)

AT_ONCE = 16
"""Concurrent requests to one endpoint that works."""
GROUP_MAX = 256
"""Deliveries that are leased together, so that their bodies are built with a few statements. After
a failure, or at the end of the time, those that were not attempted are released."""
GROUP_SECONDS = 0.5
"""A group that took longer is followed by a smaller one, so that bodies are sent soon after they
are built."""
GROWTH = 4
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
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook")
    with closing(_Line(context, pool, monotonic() + seconds)) as line:
        goes_on = _send(context, endpoint_id, line)
    with context.database.transaction() as connection:
        rows.set_lease(connection, endpoint_id, LEASE_SECONDS if goes_on else 0)
    return goes_on


class _Group(NamedTuple):
    """Deliveries that are leased together, and what their requests need."""

    endpoint: Sealed
    leased: list[Leased]
    bodies: dict[UUID, bytes]
    is_full: bool


class _Flight(NamedTuple):
    """A group that is being sent."""

    group: _Group
    answers: list[Future[Answer | None]]
    began: float


class _Line:
    """The threads of one `send_due`, and their connections to the endpoint."""

    def __init__(self, context: Context, pool: ThreadPoolExecutor, until: float) -> None:
        self.until = until
        self.failed = Event()
        self._context = context
        self._pool = pool
        self._posters: list[posting.Poster] = []
        self._has_begun = False

    def start(self, group: _Group) -> _Flight:
        """Attempt deliveries, some at the same time; None for those that are not attempted.

        The first delivery of a task is attempted in any case, so that each task makes progress.
        """
        context, endpoint = self._context, group.endpoint
        try:
            signer = payloads.signer(context.vault, endpoint, real_now())
            where = target(endpoint.url, context.settings.webhook_hosts)
        except NotConfigured:
            return self._failing(group, "secret_not_decrypted")
        except InvalidValue:  # the settings allow less than when it was created
            return self._failing(group, "url_not_allowed")
        first = None if self._has_begun else group.leased[0]
        self._has_begun = True

        def send(delivery: Leased) -> Answer | None:
            if self.failed.is_set() or (monotonic() >= self.until and delivery is not first):
                return None
            body, name = group.bodies.get(delivery.id), payloads.webhook_id(delivery.id)
            if body is None:
                return Answer(None, "body_not_built")
            answer = self._post(where, payloads.headers(name, real_now(), body, signer), body)
            if not answer.succeeded:
                self.failed.set()
            return answer

        answers = [self._pool.submit(send, each) for each in group.leased]
        return _Flight(group, answers, monotonic())

    def _failing(self, group: _Group, error: str) -> _Flight:
        self.failed.set()
        answers: list[Future[Answer | None]] = [Future() for _ in group.leased]
        for each in answers:
            each.set_result(Answer(None, error))
        return _Flight(group, answers, monotonic())

    def _post(self, where: Target, headers: dict[str, str], body: bytes) -> Answer:
        try:
            poster = self._posters.pop()
        except IndexError:
            poster = posting.Poster(where)
        if poster.target != where:
            poster.close()
            poster = posting.Poster(where)
        answer = poster.post(headers, body)
        self._posters.append(poster)
        return answer

    def close(self) -> None:
        """Attempt no more deliveries, wait for the requests under way, close the connections."""
        self.failed.set()
        self._pool.shutdown()
        for poster in self._posters:
            poster.close()


def _send(context: Context, endpoint_id: UUID, line: _Line) -> bool:
    """Send group after group; return whether all succeeded and there may be more.

    The next group is leased, and its bodies are built, while the present one is sent.
    """
    most, group = 0, _leased(context, endpoint_id)
    flight = None if group is None else line.start(group)
    while flight is not None:
        most = most or len(flight.group.leased)
        following = None
        if len(flight.group.leased) > 1 and flight.group.is_full and monotonic() < line.until:
            following = _leased(context, endpoint_id, most)
        answers = [each.result() for each in flight.answers]
        most = _next_size(most, monotonic() - flight.began)
        has_failed = line.failed.is_set()
        coming = None if following is None or has_failed else line.start(following)
        if following is not None and has_failed:
            _release(context, following)
        _settle(context, endpoint_id, flight.group, answers)
        if has_failed:
            return False
        if coming is None:
            if monotonic() >= line.until:
                return True
            group = _leased(context, endpoint_id, most)
            coming = None if group is None else line.start(group)
        flight = coming
    return False


def _next_size(size: int, took: float) -> int:
    """Return how many deliveries the next group has after one of this size succeeded."""
    if took > GROUP_SECONDS:
        return max(size // 2, min(size, AT_ONCE))
    return min(size * GROWTH, GROUP_MAX)


def _leased(context: Context, endpoint_id: UUID, most: int | None = None) -> _Group | None:
    """Lease the next group; None when there is nothing that may be sent."""
    with context.database.transaction() as connection:
        endpoint = rows.sealed(connection, endpoint_id)
        is_off = endpoint is None or endpoint.disabled_at is not None
        if endpoint is None or is_off or not safety.is_ours(context, connection):
            return None
        most = most or (AT_ONCE if endpoint.failing_since is None else 1)
        leased = deliveries.lease_due(connection, endpoint_id, real_now(), LEASE_SECONDS, most)
        bodies = _bodies(connection, leased)
    return _Group(endpoint, leased, bodies, len(leased) == most) if leased else None


def _release(context: Context, group: _Group) -> None:
    with context.database.transaction() as connection:
        deliveries.end_leases(connection, [each.id for each in group.leased])


def _bodies(connection: Connection, leased: Sequence[Leased]) -> dict[UUID, bytes]:
    """Return the body of each delivery: the one that was sent before, or a new one.

    A delivery whose body cannot be built is left out, so that it does not stop the others.
    """
    new = [each.event_id for each in leased if each.body is None]
    made = _built(connection, deliveries.events_of(connection, new)) if new else {}
    kept = {each.id: each.body.encode() for each in leased if each.body is not None}
    return kept | {each.id: made[each.event_id] for each in leased if each.event_id in made}


def _built(connection: Connection, events: dict[int, Sequenced]) -> dict[int, bytes]:
    try:
        return payloads.bodies(connection, events)
    except DBAPIError:
        raise  # it is about the connection, not about one event
    except Exception as error:  # noqa: BLE001 - a row that a person has changed, for example
        if len(events) > 1:
            each = [_built(connection, {key: event}) for key, event in events.items()]
            return {key: body for built in each for key, body in built.items()}
        log.error("webhook.body_not_built", event_id=next(iter(events)), why=type(error).__name__)  # noqa: TRY400 - its text may have values
        return {}


def _settle(
    context: Context, endpoint_id: UUID, group: _Group, found: Sequence[Answer | None]
) -> None:
    now, leased, bodies = real_now(), group.leased, group.bodies
    attempted = [
        (each, answer) for each, answer in zip(leased, found, strict=True) if answer is not None
    ]
    answers = [answer for _, answer in attempted]
    settled = [_settled(each, answer, bodies.get(each.id)) for each, answer in attempted]
    left = [each.id for each, answer in zip(leased, found, strict=True) if answer is None]
    with context.database.transaction() as connection:
        row = rows.sealed(connection, endpoint_id, locked=True)
        deliveries.settle(connection, _without_erased(connection, leased, settled))
        if left:
            deliveries.end_leases(connection, left)
        if row is not None and any(answer.succeeded for answer in answers):
            rows.change(connection, endpoint_id, last_succeeded_at=now)
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


def _without_erased(
    connection: Connection, leased: Sequence[Leased], settled: Sequence[Settled]
) -> list[Settled]:
    """Store no body about a customer who was erased during the attempt."""
    event_of = {each.id: each.event_id for each in leased}
    kept = [event_of[each.id] for each in settled if each.body is not None]
    erased = deliveries.erased(connection, kept) if kept else set()
    return [each._replace(body=None) if event_of[each.id] in erased else each for each in settled]


def _settled(delivery: Leased, answer: Answer, body: bytes | None) -> Settled:
    now = real_now()
    attempts = delivery.attempts + 1
    jitter = random.randint(-webhooks.JITTER_PERCENT_MAX, webhooks.JITTER_PERCENT_MAX)
    result = webhooks.result(answer, attempts, now, jitter)
    is_settled = result.status is not DeliveryStatus.PENDING
    return Settled(
        delivery.id, result.status, attempts, result.next_attempt_at, answer.status_code,
        answer.error, now if is_settled else None,
        None if is_settled or body is None else body.decode(),
    )  # fmt: skip
