"""Erasing: delete what is stored of a person, after the wallet's token was deleted at the gateway.

A request is recorded first, and the customer cannot change any more. Once no wallet is linked, one
transaction empties every personal column. Each step can be repeated: a crash in between, and a
gateway that deletes the token late, only delay it.
"""

from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from billing.domain.erasure import obstacle
from billing.domain.errors import IllegalMove, NotKnown
from billing.domain.events import Actor, event
from billing.domain.payloads import Json
from billing.logs import Logger
from billing.services.context import Context, Request, once
from billing.services.operating import held_rows
from billing.services.wallets import unlinking
from billing.store.queries import catalog, erasure, events, importing
from billing.store.session import brief_locks, is_locked

log = Logger(__name__)


def erase(context: Context, customer_id: str, by: Actor, request: Request | None = None) -> Json:
    """Request that a customer is erased; without a linked wallet it is done at once.

    A repeated request attempts the unlink immediately; an erased customer stays erased. Raises
    NotKnown, or IllegalMove with what must be finished first.
    """

    def act(connection: Connection, now: datetime) -> Json:
        importing.be_alone(connection)
        found = catalog.lock_erasure(connection, customer_id)
        if found is None:
            raise NotKnown(
                f"no customer has the id {customer_id!r}", hint="see: billing customer list"
            )
        if found.erase_requested_at is None:
            _request(connection, customer_id, by, now)
        if found.erased_at is None:
            unlinking.request_in(connection, customer_id, by, now)
        return {"customer": customer_id}

    answer = once(context, request, act)
    try:
        complete(context, customer_id)
    except DBAPIError as error:
        if not is_locked(error):
            raise
        held_rows.pass_over(customer_id, error)  # the request is recorded: a tick completes it
    return answer


def _request(connection: Connection, customer_id: str, by: Actor, now: datetime) -> None:
    # With the subscriptions' locks no charge settles, and no invoice is reopened, in the meantime.
    erasure.lock_subscriptions(connection, customer_id)
    why = obstacle(customer_id, erasure.unfinished(connection, customer_id))
    if why is not None:
        raise IllegalMove(why)
    erasure.request(connection, customer_id, now)
    recorded = event("customer.erase_requested", at=now, by=by, customer_id=customer_id)
    events.record(connection, [recorded])


def complete(context: Context, customer_id: str) -> bool:
    """Erase a customer whose erasure was requested, once no wallet is linked; tell whether it was.

    Late money is refunded first: a refund that is sent again needs the reason that it had.
    """
    with context.database.transaction() as connection:
        seen = catalog.erasure(connection, customer_id)
        if seen is None or seen.erase_requested_at is None or seen.erased_at is not None:
            return False
        found = catalog.lock_erasure(connection, customer_id)
        if found is None or found.erased_at is not None:
            return False
        erasure.lock_subscriptions(connection, customer_id)
        left = erasure.unfinished(connection, customer_id)
        if erasure.is_linked(connection, customer_id) or obstacle(customer_id, left) is not None:
            return False
        now = context.clock.now()
        erasure.empty(connection, customer_id, now)
        events.record(connection, [event("customer.erased", at=now, customer_id=customer_id)])
    log.info("customer.erased", customer=customer_id)
    return True


def complete_due(context: Context, limit: int) -> int:
    """Erase the customers that can be erased now, and return how many were.

    One that fails does not stop the others; its error is raised at the end, so that the tick shows
    it.
    """
    with context.database.transaction() as connection:
        due = erasure.due(connection, limit)
    done, failed = 0, list[Exception]()
    for customer_id in due:
        try:
            with brief_locks():
                done += complete(context, customer_id)
        except Exception as error:
            if not held_rows.may_be_a_row(error):
                raise
            if is_locked(error):
                held_rows.pass_over(customer_id, error)
                continue
            log.error("customer.erase_failed", customer=customer_id, error=held_rows.brief(error))  # noqa: TRY400 - a traceback may hold values
            failed.append(error)
    if failed:
        raise failed[0]
    return done
