"""Webhook tasks: each takes one endpoint's id, calls one service and returns nothing.

They have a queue and a worker of their own, with a lower priority than charging:
`nice -n 10 celery -A workers.app worker -Q webhooks -P threads`.
A message may arrive twice, late or never: leases decide, and a later tick finds what is still due.
"""

from uuid import UUID

from billing.services.webhooks import sending
from workers.app import app, context


@app.task(name="webhooks.deliver")  # type: ignore[untyped-decorator]
def deliver(endpoint_id: str) -> None:
    """Send due deliveries of one endpoint, and continue behind the other endpoints' messages."""
    if sending.send_due(context(), UUID(endpoint_id)):
        deliver.delay(endpoint_id)
