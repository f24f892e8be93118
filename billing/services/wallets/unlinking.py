"""Unlinking: delete the customer's token after everything else, and retry until confirmed."""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import Connection

from billing.domain import refund, wallet
from billing.domain.errors import NotKnown
from billing.domain.events import Actor, event
from billing.domain.outcomes import Payer, Succeeded, Tokens, UnbindOutcome, Unknown
from billing.domain.payloads import Json
from billing.domain.wallet import WalletMove, WalletStatus
from billing.logs import Logger
from billing.services.context import Context, Request, once
from billing.services.operating import safety, token_keys
from billing.store.queries import catalog, events, subscriptions, wallets
from billing.store.queries.catalog import Customer, Erasure
from billing.store.queries.wallets import Wallet

log = Logger(__name__)

LOOK_AGAIN = timedelta(seconds=10)
"""Wait between checks whether refunds and unknown charges are finished."""


def payer(customer: Customer) -> Payer:
    """Return the customer as the gateway sees it."""
    return Payer(customer.id, customer.name, customer.phone, customer.email)


def close(
    connection: Connection, row: Wallet, status: WalletStatus, why: str, now: datetime
) -> None:
    """Close a wallet and delete its stored token."""
    wallets.change(
        connection,
        row.id,
        status=status,
        closed_at=now,
        reason=why,
        registration_url=None,
        token_sealed=None,
        next_attempt_at=None,
        leased_until=None,
        held_at=None,
        held_why=None,
    )
    kind = "wallet.unlinked" if status is WalletStatus.UNLINKED else "wallet.link_failed"
    recorded = event(kind, at=now, customer_id=row.customer_id, wallet=str(row.id), why=why)
    events.record(connection, [recorded])


def unlink(context: Context, customer_id: str, by: Actor, request: Request | None = None) -> Json:
    """Request deletion of the customer's token; an unfinished link is dropped immediately.

    A repeated request triggers an immediate attempt.
    """

    def act(connection: Connection, now: datetime) -> Json:
        found = request_in(connection, customer_id, by, now)
        if found is None:
            raise NotKnown(f"customer {customer_id!r} has no wallet to unlink")
        return {"wallet": str(found), "customer": customer_id}

    return once(context, request, act)


def request_in(connection: Connection, customer_id: str, by: Actor, now: datetime) -> UUID | None:
    """Request the unlink inside an open transaction; return the wallet, or None without one."""
    live = wallets.latest_of(connection, customer_id)
    if live is None or live.status in {WalletStatus.UNLINKED, WalletStatus.FAILED}:
        return None
    row = wallets.lock(connection, live.id)
    if row is not None and row.status is WalletStatus.PENDING:
        status = wallet.advance(WalletStatus.PENDING, WalletMove.UNLINK)
        close(connection, row, status, by.reason or "unlinked before it was linked", now)
    elif row is not None and row.status is WalletStatus.UNLINKING:
        # A repeated request by an operator does not wait for the next automatic attempt.
        wallets.change(
            connection, row.id, next_attempt_at=now, leased_until=None, attempts=0,
            held_at=None, held_why=None,
        )  # fmt: skip
    elif wallets.request_unlink(connection, customer_id, now) or wallets.unlink_now(
        connection, live.id, now
    ):
        recorded = event("wallet.unlink_requested", at=now, by=by, customer_id=customer_id)
        events.record(connection, [recorded])
    return live.id


def delete_token(context: Context, seen: Wallet) -> None:
    """Delete a wallet's token once nothing needs it; retry until confirmed."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        subscriptions.lock_of_customer(connection, seen.customer_id)
        row = wallets.lock(connection, seen.id)
        if row is None or row.unlink_requested_at is None or row.token_sealed is None:
            return
        if not safety.is_ours(context, connection):
            return
        live = wallets.live_of(connection, row.customer_id)
        if live is not None and live.id != row.id:
            # A new link has replaced this token, which had expired.
            wallets.change(
                connection, row.id, unlink_requested_at=None, next_attempt_at=None,
                leased_until=None,
            )  # fmt: skip
            return
        if wallets.has_obstacles(connection, row.customer_id):
            # Refunds and unknown charges must be finished before the token is deleted.
            soon = now + LOOK_AGAIN
            moves_at = wallets.obstacles_move_at(connection, row.customer_id, soon)
            later = max(soon, moves_at or now + timedelta(days=1))
            wallets.change(connection, row.id, next_attempt_at=later, leased_until=None)
            return
        status = row.status
        if status is not WalletStatus.UNLINKING:
            status = wallet.advance(status, WalletMove.UNLINK)
        attempts = row.attempts + 1
        wait = refund.attempt_after(attempts - 1) or timedelta(days=1)
        wallets.change(
            connection, row.id, status=status, attempts=attempts, next_attempt_at=now + wait
        )
        customer = catalog.customer(connection, row.customer_id)
        erasure = catalog.erasure(connection, row.customer_id)
        if attempts == refund.ATTEMPTS_MAX:
            stuck = event("wallet.unlink_stuck", at=now, customer_id=row.customer_id)
            events.record(connection, [stuck])
    if customer is None:
        return
    outcome = _deleted(context, customer, row.token_sealed, erasure)
    with context.database.transaction() as connection:
        row = wallets.lock(connection, seen.id)
        if row is None or row.status is not WalletStatus.UNLINKING:
            return
        if isinstance(outcome, Succeeded):
            status = wallet.advance(WalletStatus.UNLINKING, WalletMove.CONFIRM_UNLINKED)
            close(connection, row, status, "the gateway deleted the token", now)
        else:
            log.warning("wallet.unlink_failed", wallet=str(row.id), attempts=row.attempts)
            wallets.change(connection, row.id, leased_until=None)


def _deleted(
    context: Context, customer: Customer, sealed: bytes, erasure: Erasure | None
) -> UnbindOutcome:
    """Ask the gateway to delete a token. An erasure does not wait for a token key that is lost."""
    is_erased = erasure is not None and erasure.erase_requested_at is not None
    if is_erased and not token_keys.opens(context, sealed):
        return _delete_listed(context, customer)
    token = context.vault.open(sealed).decode()
    return context.gateway.unbind(payer(customer), token, str(uuid4()))


def _delete_listed(context: Context, customer: Customer) -> UnbindOutcome:
    """Ask the gateway to delete every token that it lists of a customer."""
    answer = context.gateway.list_tokens(customer.id)
    if not isinstance(answer, Tokens):
        return Unknown("no list of tokens")
    for each in answer.tokens:
        outcome = context.gateway.unbind(payer(customer), each.token, str(uuid4()))
        if not isinstance(outcome, Succeeded):
            return outcome
    return Succeeded()
