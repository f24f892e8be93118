"""Charge, reconcile and refund tasks: ids in, one service call, nothing out.

Each may come twice, late or not at all: rows decide, a later tick finds what is left.
"""

from uuid import UUID

from billing.services import charging, linking, reconciling, refunding
from workers.app import app, context

GO_ON_SECONDS = 4
"""Short beside the time that a shutdown is given, and what waits in the queue for its turn."""


@app.task(name="charges.collect")  # type: ignore[untyped-decorator]
def collect(invoice_ids: list[str]) -> None:
    """Try once to collect each invoice, and others that are due for a few seconds more."""
    charging.collect_on(context(), [UUID(item) for item in invoice_ids], GO_ON_SECONDS)


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
