"""Linking: a customer's wallet from the first link until its token expires."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from billing.domain import wallet
from billing.domain.errors import InvalidValue, NotKnown, WalletAlreadyLinked
from billing.domain.events import Actor, event
from billing.domain.outcomes import Balance, Binding, BindingStarted, Token, Tokens
from billing.domain.payloads import Json
from billing.domain.subscription import SubscriptionStatus
from billing.domain.text import indonesian_phone
from billing.domain.wallet import WalletMove, WalletStatus
from billing.gateway.urls import is_url
from billing.logs import Logger
from billing.services.context import LEASE_SECONDS, Context, Request, derived_id, id_in, once
from billing.services.operating import customers, held_rows, safety, token_keys
from billing.services.subscriptions import starting, transitions
from billing.services.wallets import erasing, refusals, unlinking
from billing.store.queries import catalog, events, invoices, subscriptions, wallets
from billing.store.queries.catalog import Customer
from billing.store.queries.holding import Kind
from billing.store.queries.wallets import NewWallet, Wallet
from schedules.durations import add, parse_duration

log = Logger(__name__)

FIRST_POLL = timedelta(seconds=5)
NO_LINK_GIVEN_UP_AFTER = timedelta(minutes=5)
"""A wallet without a registration URL after this time was left by a process that ended."""
UTC = ZoneInfo("UTC")
TOKEN_LIFE = parse_duration(f"{wallet.TOKEN_LIFE_YEARS} year")


def link(
    context: Context,
    customer_id: str,
    phone: str,
    by: Actor,
    *,
    success_url: str | None = None,
    failure_url: str | None = None,
    replace: bool = False,
    request: Request | None = None,
) -> UUID:
    """Start linking a customer's OVO account, and return the wallet's id.

    `replace` closes a wallet whose token no key decrypts; any other wallet must be unlinked first.
    The wallet then has the `registration_url` that the customer must open. Raises NotKnown,
    WalletAlreadyLinked, InvalidValue, IllegalMove (an erased customer), GatewayDeclined or
    GatewayRefused.
    """
    phone = indonesian_phone(phone)
    if not re.fullmatch("62[0-9]{8,13}", phone):
        said = "phone must be an OVO number: 62… or 08…, 10 to 15 digits with the 62"
        raise InvalidValue(said, field="phone")
    for field, url in (("success_url", success_url), ("failure_url", failure_url)):
        if url and not is_url(url):
            raise InvalidValue("it must be an http(s) URL without blanks", field=field)
    made = False

    def act(connection: Connection, now: datetime) -> Json:
        nonlocal made
        safety.require_ours(context, connection)
        wallet_id = derived_id(connection, request) or uuid4()
        earlier = wallets.lock(connection, wallet_id) if request is not None else None
        if earlier is not None:
            return {"wallet": str(wallet_id)}
        customers.lock(connection, customer_id)
        _close_unopenable(context, connection, customer_id, by, now, replace=replace)
        new = NewWallet(
            wallet_id,
            customer_id,
            WalletStatus.PENDING,
            phone_sealed=context.vault.seal(phone.encode()),
            masked_phone=f"****{phone[-4:]}",
            created_at=now,
            next_attempt_at=now + NO_LINK_GIVEN_UP_AFTER,
        )
        if not wallets.add(connection, new):
            raise _already(wallets.live_of(connection, customer_id))
        recorded = event(
            "wallet.link_requested", at=now, by=by, customer_id=customer_id, wallet=str(wallet_id)
        )
        events.record(connection, [recorded])
        made = True
        return {"wallet": str(wallet_id)}

    begun = id_in(once(context, request, act), "wallet")
    if made:
        _ask_for_link(context, begun, phone, success_url, failure_url)
    return begun


def _close_unopenable(
    context: Context, connection: Connection, customer_id: str, by: Actor, now: datetime,
    *, replace: bool,
) -> None:  # fmt: skip
    """Close a wallet whose token no key decrypts: it can be neither charged nor unlinked.

    Only on an operator's request: with the right key it may be usable. Raises WalletAlreadyLinked.
    """
    live = wallets.live_of(connection, customer_id)
    if live is None or live.token_sealed is None or token_keys.opens(context, live.token_sealed):
        return
    if not replace:
        said = (
            f"the customer's wallet {live.masked_phone} is {live.status}, and BILLING_TOKEN_KEY"
            " does not open its token: add the key it was encrypted with, or replace that wallet"
        )
        raise WalletAlreadyLinked(said, field="replace", hint="--replace (task: replace=true)")
    row = wallets.lock(connection, live.id)
    if row is None or row.token_sealed != live.token_sealed:
        return
    if row.status is WalletStatus.ACTIVE:
        transitions.lose_wallet(connection, row.id, now, token_keys.UNOPENABLE)
    elif row.status is WalletStatus.UNLINKING:
        status = wallet.advance(WalletStatus.UNLINKING, WalletMove.CONFIRM_UNLINKED)
        unlinking.close(connection, row, status, token_keys.UNOPENABLE, now)
        # Its stored token is kept, which distinguishes it from a token that the gateway has
        # deleted.
        wallets.change(connection, row.id, token_sealed=row.token_sealed)
    recorded = event("wallet.replaced", at=now, by=by, customer_id=customer_id, wallet=str(row.id))
    events.record(connection, [recorded])


def _already(live: Wallet | None) -> WalletAlreadyLinked:
    said = "the customer has a link that is still open; finish it, or unlink the wallet"
    if live is not None and live.status is not WalletStatus.PENDING:
        said = f"the customer's wallet is {live.status}; unlink it first"
    return WalletAlreadyLinked(said, hint="billing wallet unlink")


def _ask_for_link(
    context: Context, wallet_id: UUID, phone: str, success_url: str | None, failure_url: str | None
) -> None:
    with context.database.transaction() as connection:
        row = wallets.lock(connection, wallet_id)
        customer = catalog.customer(connection, row.customer_id) if row else None
    if customer is None:
        return
    _delete_lost_tokens(context, customer)
    binding = Binding(
        request_id=str(wallet_id),
        payer=unlinking.payer(customer),
        wallet_phone=phone,
        success_url=success_url or context.settings.link_success_url,
        failure_url=failure_url or context.settings.link_failure_url,
    )
    outcome = context.gateway.bind(binding)
    if not isinstance(outcome, BindingStarted):
        _link_failed(context, wallet_id, refusals.cause(outcome))
        raise refusals.no_link(outcome)
    now = context.clock.now()
    with context.database.transaction() as connection:
        row = wallets.lock(connection, wallet_id)
        if row is None or row.status is not WalletStatus.PENDING:
            return  # the link was closed while the gateway worked on the request
        wallets.change(
            connection,
            wallet_id,
            registration_url=outcome.registration_url,
            next_attempt_at=now + FIRST_POLL,
        )


def _delete_lost_tokens(context: Context, customer: Customer) -> None:
    """Delete tokens that the gateway lists but that no key of ours decrypts.

    The gateway refuses to link a customer who has a live token.
    """
    with context.database.transaction() as connection:
        sealed = wallets.earlier_tokens(connection, customer.id)
    if all(token_keys.opens(context, token) for token in sealed):
        return
    answer = context.gateway.list_tokens(customer.id)
    for token in answer.tokens if isinstance(answer, Tokens) else ():
        context.gateway.unbind(unlinking.payer(customer), token.token, str(uuid4()))


def _link_failed(context: Context, wallet_id: UUID, why: str) -> None:
    now = context.clock.now()
    with context.database.transaction() as connection:
        row = wallets.lock(connection, wallet_id)
        if row is None or row.status is not WalletStatus.PENDING:
            return
        status = wallet.advance(WalletStatus.PENDING, WalletMove.FAIL)
        unlinking.close(connection, row, status, why, now)


def expire_due(context: Context, limit: int) -> int:
    """Expire wallets whose token is one year old, and request new links."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        due = wallets.expiring(connection, now, limit)

    def expire(wallet_id: UUID) -> None:
        # One at a time: a transaction that locks several wallets could take them in another order.
        with context.database.transaction() as connection:
            transitions.lose_wallet(connection, wallet_id, now, "the token has expired")

    held_rows.each(context, Kind.WALLET, due, expire)
    return len(due)


def give_notice(context: Context, limit: int) -> int:
    """Record an event for tokens that expire soon, with the affected subscriptions."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        due = wallets.due_to_notify(connection, now, limit)
    if due:
        held_rows.isolate(
            due, lambda part: _tell(context, part, now), held_rows.holder(context, Kind.WALLET)
        )
    return len(due)


def _tell(context: Context, ids: Sequence[UUID], now: datetime) -> None:
    with context.database.transaction() as connection:
        due = wallets.to_notify(connection, now, ids)
        for row in due:
            following = wallet.next_notice(row.expires_at, now)
            wallets.change(connection, row.id, next_notice_at=following)
        recorded = [
            event(
                "wallet.expiring", at=now, customer_id=row.customer_id,
                wallet=str(row.id), expires_at=row.expires_at.isoformat(),
                days=(row.expires_at - now).days, subscriptions=row.subscriptions,
            )
            for row in due
        ]  # fmt: skip
        events.record(connection, recorded)


def lease_due(context: Context, limit: int) -> list[UUID]:
    """Lease wallets whose link must be polled or whose token must be deleted."""
    now = context.clock.now()
    with context.database.transaction() as connection:
        if not safety.is_ours(context, connection):
            return []
        return wallets.lease_due(connection, now, lease_seconds=LEASE_SECONDS, limit=limit)


def attend(context: Context, wallet_id: UUID) -> None:
    """Poll one wallet's link or delete its token. On an error the wallet is held."""
    held_rows.each(context, Kind.WALLET, [wallet_id], lambda key: _attend(context, key), attempts=1)


def _attend(context: Context, wallet_id: UUID) -> None:
    with context.database.transaction() as connection:
        row = wallets.lock(connection, wallet_id)
        if row is None or row.held_at is not None:
            return
        if not safety.is_ours(context, connection):
            return
    if row.status is WalletStatus.PENDING:
        _poll(context, row)
    elif row.unlink_requested_at is not None:
        unlinking.delete_token(context, row)
        erasing.complete(context, row.customer_id)
    elif row.next_attempt_at is not None:
        with context.database.transaction() as connection:
            wallets.nothing_to_do(connection, wallet_id)


def refresh(context: Context, customer_id: str) -> None:
    """Check now whether the customer has finished linking."""
    with context.database.transaction() as connection:
        safety.require_ours(context, connection)
        row = wallets.live_of(connection, customer_id)
    if row is None:
        raise NotKnown(f"customer {customer_id!r} has no wallet", hint="billing wallet link")
    if row.status is WalletStatus.PENDING:
        _poll(context, row)


def balance(context: Context, customer_id: str) -> Balance:
    """Query the gateway for the customer's OVO balance, in whole rupiah."""
    with context.database.transaction() as connection:
        safety.require_ours(context, connection)
        row = wallets.live_of(connection, customer_id)
    if row is None or row.token_sealed is None:
        raise NotKnown(f"customer {customer_id!r} has no linked wallet")
    answer = context.gateway.balance(customer_id, context.vault.open(row.token_sealed).decode())
    if not isinstance(answer, Balance):
        raise refusals.no_balance(answer)
    return answer


def _poll(context: Context, row: Wallet) -> None:
    now = context.clock.now()
    age = now - row.created_at
    without_link = row.registration_url is None and age >= NO_LINK_GIVEN_UP_AFTER
    if age > wallet.LINK_LIFE or without_link:
        _link_failed(context, row.id, "the customer did not finish the link")
        return
    answer = context.gateway.list_tokens(row.customer_id)
    token = _matching(context, row, answer) if isinstance(answer, Tokens) else None
    if token is not None:
        _activate(context, row, token)
        return
    with context.database.transaction() as connection:
        fresh = wallets.lock(connection, row.id)
        if fresh is None or fresh.status is not WalletStatus.PENDING:
            return  # a simultaneous poll has seen the token
        wallets.change(
            connection,
            row.id,
            next_attempt_at=now + wallet.poll_after(age),
            leased_until=None,
        )


def _matching(context: Context, row: Wallet, answer: Tokens) -> Token | None:
    """Find the token of this link: the right phone, and not a token of an earlier wallet.

    A customer whose token expired has it in the list until the new link is finished.
    """
    with context.database.transaction() as connection:
        sealed = wallets.earlier_tokens(connection, row.customer_id)
    # A token that no key decrypts cannot be compared; the gateway was asked to delete it before.
    old = {
        context.vault.open(token).decode() for token in sealed if token_keys.opens(context, token)
    }
    digits = row.masked_phone[-4:]
    for token in answer.tokens:
        if token.token not in old and token.masked_phone[-4:] in {digits, ""}:
            return token
    return None


def _activate(context: Context, seen: Wallet, token: Token) -> None:
    now = context.clock.now()
    customer_id = seen.customer_id
    hashes = context.vault.hashes(token.token.encode())
    with context.database.transaction() as connection:
        catalog.lock_customer(connection, customer_id)
        waiting = subscriptions.lock_of_customer(connection, customer_id)
        row = wallets.lock(connection, seen.id)
        if row is None or row.status is not WalletStatus.PENDING:
            return
        other = wallets.other_holder(connection, customer_id, hashes)
        if other is not None:
            status = wallet.advance(WalletStatus.PENDING, WalletMove.FAIL)
            why = f"its token already belongs to customer {other!r}; unlink that wallet first"
            unlinking.close(connection, row, status, why, now)
            return
        expires_at = add(TOKEN_LIFE, now, UTC)
        wallets.change(
            connection,
            row.id,
            status=wallet.advance(WalletStatus.PENDING, WalletMove.LINK),
            token_sealed=context.vault.seal(token.token.encode()),
            token_hash=hashes[0],
            linked_at=now,
            expires_at=expires_at,
            next_notice_at=wallet.next_notice(expires_at, now),
            registration_url=None,
            next_attempt_at=None,
            leased_until=None,
            held_at=None,
            held_why=None,
        )
        recorded = event("wallet.linked", at=now, customer_id=customer_id, wallet=str(row.id))
        events.record(connection, [recorded])
        for pending in waiting:
            if pending.status == SubscriptionStatus.PENDING:
                starting.start(connection, pending, now, waited=True)
        invoices.try_new_wallet(connection, customer_id, now)
