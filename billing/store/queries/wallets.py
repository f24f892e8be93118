"""Statements about wallets; `next_attempt_at` is used for link polls and for unlinking."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, TypedDict, Unpack
from uuid import UUID

from sqlalchemy import Connection, update
from sqlalchemy.dialects.postgresql import insert

from billing.domain.charge import UNRESOLVED
from billing.domain.refund import UNSETTLED
from billing.domain.wallet import LIVE, WalletStatus
from billing.store.expressions import listed
from billing.store.rows import as_array
from billing.store.selecting import at_most_one, columns, every
from billing.store.statements import text


class Wallet(NamedTuple):
    """A wallet."""

    id: UUID
    customer_id: str
    status: WalletStatus
    masked_phone: str
    token_sealed: bytes | None
    registration_url: str | None
    attempts: int
    next_attempt_at: datetime | None
    unlink_requested_at: datetime | None
    created_at: datetime
    expires_at: datetime | None
    held_at: datetime | None

    def is_linked(self, now: datetime) -> bool:
        """Whether the wallet is active and its token has not expired."""
        is_active = self.status is WalletStatus.ACTIVE
        return is_active and self.expires_at is not None and self.expires_at > now


class NewWallet(NamedTuple):
    """A wallet whose link has just been requested."""

    id: UUID
    customer_id: str
    status: WalletStatus
    phone_sealed: bytes
    masked_phone: str
    created_at: datetime
    next_attempt_at: datetime


class Changes(TypedDict, total=False):
    """The columns of a wallet that change."""

    status: WalletStatus
    token_sealed: bytes | None
    token_hash: bytes | None
    registration_url: str | None
    attempts: int
    next_attempt_at: datetime | None
    unlink_requested_at: datetime | None
    reason: str | None
    linked_at: datetime | None
    expires_at: datetime | None
    next_notice_at: datetime | None
    closed_at: datetime | None
    leased_until: datetime | None
    held_at: datetime | None
    held_why: str | None


class Expired(NamedTuple):
    """A wallet whose token has just expired."""

    id: UUID
    customer_id: str


class Expiring(NamedTuple):
    """A wallet whose token expires soon, and the ids of the subscriptions that need it."""

    id: UUID
    customer_id: str
    expires_at: datetime
    subscriptions: list[str]


_LIVE = listed("status", LIVE)
_UNRESOLVED, _UNSETTLED = listed("status", UNRESOLVED), listed("status", UNSETTLED)
_WALLET = f"SELECT {columns(Wallet)} FROM wallets"  # noqa: S608 - a constant of ours


def add(connection: Connection, new: NewWallet) -> bool:
    """Insert a wallet; False when the customer has a live one."""
    from billing.store.tables import WALLETS

    statement = insert(WALLETS).values(**new._asdict()).on_conflict_do_nothing()
    return connection.execute(statement.returning(WALLETS.c.id)).first() is not None


def end_leases(connection: Connection, ids: Sequence[UUID]) -> None:
    """End the leases of wallets that are not worked on."""
    connection.execute(
        text(
            "UPDATE wallets SET leased_until = NULL"
            " WHERE id = ANY(CAST(:ids AS uuid[])) AND leased_until IS NOT NULL"
        ),
        {"ids": as_array(ids)},
    )


def lock(connection: Connection, wallet_id: UUID) -> Wallet | None:
    """Lock one wallet."""
    statement = text(f"{_WALLET} WHERE id = :id FOR UPDATE")
    return at_most_one(Wallet, connection.execute(statement, {"id": wallet_id}))


def change(connection: Connection, wallet_id: UUID, **values: Unpack[Changes]) -> None:
    """Write some columns of one wallet."""
    from billing.store.tables import WALLETS

    connection.execute(update(WALLETS).where(WALLETS.c.id == wallet_id).values(**values))


def live_of(connection: Connection, customer_id: str) -> Wallet | None:
    """Read the customer's pending, active or unlinking wallet."""
    statement = text(f"{_WALLET} WHERE customer_id = :customer AND {_LIVE}")
    return at_most_one(Wallet, connection.execute(statement, {"customer": customer_id}))


def latest_of(connection: Connection, customer_id: str) -> Wallet | None:
    """Read the customer's live wallet, or else the latest with a token, or else the latest.

    A link that failed later does not hide the token of a wallet that expired.
    """
    statement = text(
        f"{_WALLET} WHERE customer_id = :customer ORDER BY"
        f" ({_LIVE}) DESC, token_sealed IS NOT NULL DESC,"
        " created_at DESC LIMIT 1"
    )
    return at_most_one(Wallet, connection.execute(statement, {"customer": customer_id}))


def earlier_tokens(connection: Connection, customer_id: str) -> list[bytes]:
    """Read the encrypted tokens of earlier wallets that the gateway may still list."""
    statement = text(
        "SELECT token_sealed FROM wallets WHERE customer_id = :customer"
        " AND token_sealed IS NOT NULL AND status <> 'active'"
    )
    return list(connection.execute(statement, {"customer": customer_id}).scalars())


def other_holder(
    connection: Connection, customer_id: str, token_hashes: Sequence[bytes]
) -> str | None:
    """Find another customer whose live wallet has this token."""
    statement = text(
        "SELECT customer_id FROM wallets WHERE token_hash = ANY(:hashes)"  # noqa: S608 - a constant of ours
        f" AND customer_id <> :customer AND {_LIVE} LIMIT 1"
    )
    parameters = {"hashes": list(token_hashes), "customer": customer_id}
    return connection.execute(statement, parameters).scalar_one_or_none()


def expire(connection: Connection, ids: Sequence[UUID], at: datetime, reason: str) -> list[Expired]:
    """Expire active wallets among `ids`, and return those that were."""
    statement = text(
        "UPDATE wallets SET status = 'expired', closed_at = :at, reason = :reason,"  # noqa: S608 - a constant of ours
        " next_attempt_at = CASE WHEN unlink_requested_at IS NOT NULL THEN next_attempt_at END,"
        " held_at = NULL, held_why = NULL"
        " WHERE id = ANY(:ids) AND status = 'active'"
        f" RETURNING {columns(Expired)}"
    )
    parameters = {"ids": list(ids), "at": at, "reason": reason}
    return every(Expired, connection.execute(statement, parameters))


def expiring(connection: Connection, now: datetime, limit: int) -> list[UUID]:
    """Find active wallets whose token has expired."""
    statement = text(
        "SELECT id FROM wallets WHERE status = 'active' AND expires_at <= :now AND held_at IS NULL"
        " ORDER BY expires_at LIMIT :limit"
    )
    return list(connection.execute(statement, {"now": now, "limit": limit}).scalars())


def lease_due(
    connection: Connection, now: datetime, *, lease_seconds: int, limit: int
) -> list[UUID]:
    """Lease wallets whose link must be polled or whose token must be deleted."""
    statement = text("""
        UPDATE wallets SET leased_until = clock_timestamp() + make_interval(secs => :lease)
        WHERE id = ANY (ARRAY(
            SELECT id FROM wallets
            WHERE next_attempt_at <= :now AND held_at IS NULL
              AND (leased_until IS NULL OR leased_until < clock_timestamp())
            ORDER BY next_attempt_at LIMIT :limit FOR UPDATE SKIP LOCKED))
        RETURNING id
    """)
    parameters = {"now": now, "lease": lease_seconds, "limit": limit}
    return list(connection.execute(statement, parameters).scalars())


def request_unlink(connection: Connection, customer_id: str, now: datetime) -> bool:
    """Request that the customer's wallet is unlinked once nothing needs it; False without one.

    That is the active wallet, or the last one that expired; it replaced earlier ones.
    """
    statement = text(
        "UPDATE wallets SET unlink_requested_at = :now, next_attempt_at = :now, attempts = 0,"
        " leased_until = NULL WHERE unlink_requested_at IS NULL AND id ="
        " (SELECT id FROM wallets WHERE customer_id = :customer AND token_sealed IS NOT NULL"
        " AND status IN ('active', 'expired')"
        " ORDER BY status = 'active' DESC, created_at DESC LIMIT 1) RETURNING id"
    )
    parameters = {"customer": customer_id, "now": now}
    return connection.execute(statement, parameters).first() is not None


def unlink_now(connection: Connection, wallet_id: UUID, now: datetime) -> bool:
    """Make a requested unlink due now; False when none was requested."""
    statement = text(
        "UPDATE wallets SET next_attempt_at = :now, attempts = 0, leased_until = NULL,"
        " held_at = NULL, held_why = NULL WHERE id = :id AND unlink_requested_at IS NOT NULL"
        " AND token_sealed IS NOT NULL AND next_attempt_at > :now"
    )
    return connection.execute(statement, {"id": wallet_id, "now": now}).rowcount == 1


def has_obstacles(connection: Connection, customer_id: str) -> bool:
    """Whether charges or refunds must be finished before the customer's token is deleted."""
    statement = text(f"""
        SELECT (SELECT count(*) FROM charges WHERE customer_id = :customer
                AND ({_UNRESOLVED}
                     OR status = 'unsent' AND next_check_at IS NOT NULL)) AS unresolved_charges,
               (SELECT count(*) FROM refunds WHERE customer_id = :customer
                AND {_UNSETTLED}
                AND parked_at IS NULL) AS unsettled_refunds
    """)  # noqa: S608 - a constant of ours
    return any(connection.execute(statement, {"customer": customer_id}).one())


def obstacles_move_at(connection: Connection, customer_id: str, soon: datetime) -> datetime | None:
    """Read when an obstacle to unlinking moves next; `soon` if it is in flight."""
    statement = text(f"""
        SELECT min(CASE status WHEN 'in_flight' THEN :soon ELSE at END) FROM (
            SELECT status, next_check_at AS at FROM charges WHERE customer_id = :customer
                AND ({_UNRESOLVED}
                     OR status = 'unsent' AND next_check_at IS NOT NULL)
            UNION ALL SELECT status, next_attempt_at FROM refunds WHERE customer_id = :customer
                AND {_UNSETTLED}) AS obstacles
    """)  # noqa: S608 - a constant of ours
    parameters = {"customer": customer_id, "soon": soon}
    moves_at: datetime | None = connection.execute(statement, parameters).scalar_one()
    return moves_at


def keep(connection: Connection, customer_id: str) -> None:
    """Withdraw a requested unlink of the customer's active wallet: it is needed again."""
    connection.execute(
        text(
            "UPDATE wallets SET unlink_requested_at = NULL, next_attempt_at = NULL"
            " WHERE customer_id = :customer AND status = 'active'"
            " AND unlink_requested_at IS NOT NULL"
        ),
        {"customer": customer_id},
    )


def nothing_to_do(connection: Connection, wallet_id: UUID) -> None:
    """Clear the date of a wallet that has neither a link to poll nor a token to delete."""
    connection.execute(
        text(
            "UPDATE wallets SET next_attempt_at = NULL, leased_until = NULL WHERE id = :id"
            " AND status <> 'pending' AND unlink_requested_at IS NULL"
        ),
        {"id": wallet_id},
    )


def due_to_notify(connection: Connection, now: datetime, limit: int) -> list[UUID]:
    """Find wallets whose token expires soon and whose customer is to be notified."""
    statement = text(
        "SELECT id FROM wallets WHERE next_notice_at <= :now AND status = 'active'"
        " AND held_at IS NULL ORDER BY next_notice_at LIMIT :limit"
    )
    return list(connection.execute(statement, {"now": now, "limit": limit}).scalars())


def to_notify(connection: Connection, now: datetime, ids: Sequence[UUID]) -> list[Expiring]:
    """Lock those still to be notified, with the subscriptions that need them."""
    needing = (
        "ARRAY(SELECT CAST(s.id AS text)"
        " FROM subscriptions s WHERE s.customer_id = w.customer_id AND s.ended_at IS NULL"
        " ORDER BY s.id)"
    )
    statement = text(
        f"SELECT {columns(Expiring, 'w', subscriptions=needing)} FROM wallets w"  # noqa: S608 - a constant of ours
        " WHERE w.id = ANY(CAST(:ids AS uuid[])) AND w.next_notice_at <= :now"
        " AND w.status = 'active' ORDER BY w.next_notice_at FOR UPDATE OF w SKIP LOCKED"
    )
    return every(Expiring, connection.execute(statement, {"now": now, "ids": as_array(ids)}))
