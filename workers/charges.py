"""Charge, reconcile and refund tasks: ids in, one service call, nothing out.

Each may come twice, late or not at all: rows decide, a later tick finds what is left.
"""

from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError

from billing.services.collecting import charging, reconciling
from billing.services.context import SWITCHOVER_SECONDS
from billing.services.money import refunding
from billing.services.wallets import linking
from billing.store.session import is_lost
from workers.app import app, context

log = structlog.get_logger(__name__)

GO_ON_SECONDS = 4
"""Short beside the time that a shutdown is given, and what waits in the queue for its turn."""


@app.task(name="charges.collect")  # type: ignore[untyped-decorator]
def collect(invoice_ids: list[str]) -> None:
    """Try once to collect each invoice, and others that are due for a few seconds more."""
    ids = [UUID(item) for item in invoice_ids]
    try:
        charging.collect_on(context(), ids, GO_ON_SECONDS)
    except DBAPIError as error:
        if not is_lost(error):
            raise
        # Else every batch that waits would be taken during a switchover, fail, and wait for the
        # end of its lease. What was claimed is left to those that ask.
        log.warning("charges.database_lost", invoices=len(ids))
        context().database.await_server(SWITCHOVER_SECONDS)
        charging.collect_on(context(), ids, GO_ON_SECONDS)


@app.task(name="charges.ask")  # type: ignore[untyped-decorator]
def ask(charge_ids: list[str]) -> None:
    """Ask the gateway about each unresolved charge."""
    reconciling.ask(context(), [UUID(item) for item in charge_ids])


@app.task(name="refunds.send")  # type: ignore[untyped-decorator]
def send_refund(refund_id: str) -> None:
    """Send one refund."""
    refunding.send_due(context(), UUID(refund_id))


@app.task(name="wallets.attend")  # type: ignore[untyped-decorator]
def attend_wallet(wallet_id: str) -> None:
    """Poll one wallet's link, or delete its token."""
    linking.attend(context(), UUID(wallet_id))
