"""Charge, reconcile and refund tasks: each takes ids, calls one service and returns nothing.

A message may arrive twice, late or never: rows decide, and a later tick finds what is still due.
"""

from uuid import UUID

from sqlalchemy.exc import DBAPIError

from billing.logs import Logger
from billing.services.collecting import charging, reconciling
from billing.services.context import SWITCHOVER_SECONDS
from billing.services.money import refunding
from billing.services.wallets import linking
from billing.store.session import is_lost
from workers.app import app, context

log = Logger(__name__)


@app.task(name="charges.collect")  # type: ignore[untyped-decorator]
def collect(invoice_ids: list[str]) -> None:
    """Attempt each invoice once, then keep claiming other due invoices for a few seconds."""
    ids = [UUID(item) for item in invoice_ids]
    try:
        charging.collect_on(context(), ids, charging.GO_ON_SECONDS)
    except DBAPIError as error:
        if not is_lost(error):
            raise
        # Otherwise every waiting batch would be taken during a switchover, fail, and wait for the
        # end of its lease. Claimed charges are left to reconciling.
        log.warning("charges.database_lost", invoices=len(ids))
        context().database.await_server(SWITCHOVER_SECONDS)
        charging.collect_on(context(), ids, charging.GO_ON_SECONDS)


@app.task(name="charges.ask")  # type: ignore[untyped-decorator]
def ask(charge_ids: list[str]) -> None:
    """Query the gateway for the status of each unresolved charge."""
    reconciling.ask(context(), [UUID(item) for item in charge_ids])


@app.task(name="refunds.send")  # type: ignore[untyped-decorator]
def send_refund(refund_id: str) -> None:
    """Send one refund."""
    refunding.send_due(context(), UUID(refund_id))


@app.task(name="wallets.attend")  # type: ignore[untyped-decorator]
def attend_wallet(wallet_id: str) -> None:
    """Poll one wallet's link, or delete its token."""
    linking.attend(context(), UUID(wallet_id))
