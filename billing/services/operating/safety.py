"""Safety: decide whether this process may move money at all.

The database records its gateway and Client-Id. A copy with other settings (a staging copy of
production, or the reverse) sends nothing until an operator confirms.
"""

from sqlalchemy import Connection

from billing.domain.errors import NotConfigured
from billing.domain.outcomes import Unknown
from billing.logs import Logger
from billing.services.collecting import backpressure
from billing.services.context import Context
from billing.services.operating import token_keys
from billing.store.queries import engine
from billing.store.queries.engine import ChargingState

log = Logger(__name__)


KEY_TROUBLE = ("invalid_signature", "invalid_client_id")


def check_keys(context: Context) -> None:
    """Raise NotConfigured when the token key decrypts nothing, or the gateway rejects our keys.

    A key that decrypts some values does not prevent the start: new work is possible, and the other
    values are logged as an error. A key that decrypts nothing is treated as a mistake, because
    every customer would have to link again. If the old key is lost, `billing wallet link --replace`
    stores the first token under the new key. The gateway is queried for a payment that does not
    exist, which moves no money. A gateway that does not answer does not prevent the start.
    """
    with context.database.transaction() as connection:
        elsewhere = _elsewhere(context, connection)
    shut = token_keys.check(context)
    if shut:
        log.error("keys.absent", why=shut)
    if elsewhere is not None:
        return
    answer = context.gateway.check_status("key-check", "key-check", 1)
    for trouble in KEY_TROUBLE:
        if isinstance(answer, Unknown) and trouble in answer.reason:
            raise NotConfigured(
                f"the gateway at {context.settings.doku_base_url} says {trouble};"
                " check BILLING_DOKU_CLIENT_ID and BILLING_DOKU_SECRET_KEY"
            )


def is_ours(context: Context, connection: Connection) -> bool:
    """Whether the database belongs to the gateway of the settings; the first use sets it."""
    return _own_row(context, connection) is not None


def require_ours(context: Context, connection: Connection) -> None:
    """Raise NotConfigured when the database belongs to another gateway; then nothing is sent.

    A database without a gateway stays without one here; a worker sets it.
    """
    row = _elsewhere(context, connection)
    if row is None:
        return
    settings = context.settings
    raise NotConfigured(
        f"this database belongs to {row.gateway_host} as {row.gateway_client_id}, but the"
        f" settings say {settings.gateway_host} as {settings.doku_client_id}; nothing was sent",
        hint="if the settings are right: billing start-charging",
    )


def _elsewhere(context: Context, connection: Connection) -> ChargingState | None:
    """Return the engine's row if it belongs to another gateway."""
    row = engine.charging_state(connection)
    ours = (context.settings.gateway_host, context.settings.doku_client_id)
    owner = (row.gateway_host, row.gateway_client_id)
    return None if row.gateway_host is None or owner == ours else row


def may_charge(context: Context, connection: Connection) -> bool:
    """Whether new charges may be sent: the gateway is ours, and charging is not stopped."""
    row = _own_row(context, connection)
    return row is not None and row.stopped_at is None


def charges_at_once(context: Context, connection: Connection, most: int) -> int:
    """Return how many of `most` charges may be claimed now: zero while charging is stopped."""
    row = _own_row(context, connection)
    if row is None or row.stopped_at is not None:
        return 0
    allowed = backpressure.limit(row)
    return most if allowed is None else min(most, allowed)


def _own_row(context: Context, connection: Connection) -> ChargingState | None:
    """Return the engine's row; None when it belongs to another gateway."""
    host, client_id = context.settings.gateway_host, context.settings.doku_client_id
    row = engine.bind_gateway(connection, host, client_id, force=False)
    if (row.gateway_host, row.gateway_client_id) == (host, client_id):
        return row
    log.error("gateway.refused", belongs_to=row.gateway_host, settings_say=host)
    return None


def claim_gateway(context: Context, connection: Connection) -> bool:
    """Record the gateway of the settings as the database's own; True when that is new."""
    before = engine.charging_state(connection)
    host, client_id = context.settings.gateway_host, context.settings.doku_client_id
    engine.bind_gateway(connection, host, client_id, force=True)
    owner = (before.gateway_host, before.gateway_client_id)
    return before.gateway_host is not None and owner != (host, client_id)
