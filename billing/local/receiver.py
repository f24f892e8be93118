"""Receiver: the sandbox of `billing up` receives webhooks, and the view shows the last of them.

The endpoint is made in the local database, once, and stays for the next start.
"""

from contextlib import suppress
from http.client import HTTPException

from billing.domain.errors import BillingError
from billing.domain.events import Actor
from billing.domain.instants import at_home
from billing.domain.instants import read as read_instant
from billing.local.pretend import Json, Pretend
from billing.services.context import Context
from billing.services.webhooks import endpoints

BY = Actor("billing up")
DESCRIPTION = "the receiver of billing up"
SHOWN = 3


def connect(context: Context, sandbox_url: str, pretend: Pretend) -> bool:
    """Make the sandbox a receiver of all events; False when the settings do not allow it."""
    url = f"{sandbox_url}/_sandbox/webhooks"
    try:
        found = _endpoint(context, url)
    except BillingError:  # BILLING_WEBHOOK_ALLOWED_HOSTS was set, without this machine
        return False
    pretend.call("PUT", "webhooks", {"secret": found.secret})
    return True


def _endpoint(context: Context, url: str) -> endpoints.WithSecret:
    mine = [each for each in endpoints.every(context.database) if each.description == DESCRIPTION]
    if not mine:
        return endpoints.create(context, url, BY, description=DESCRIPTION)
    known = mine[0]
    if known.url != url or known.disabled_at is not None:
        changes = endpoints.Changes(
            url=None if known.url == url else url,
            enabled=None if known.disabled_at is None else True,
        )
        endpoints.update(context, known.id, changes, BY)
    return endpoints.with_secret(context, known.id)


def seen(pretend: Pretend) -> str:
    """Say how many webhooks were received, and which were the last; empty without an answer."""
    with suppress(OSError, HTTPException, ValueError):
        return said(pretend.call("GET", "webhooks"))
    return ""


def said(found: Json) -> str:
    """Put what the sandbox received into one line, newest first."""
    if not found["count"]:
        return "none received yet"
    last = [_one(each) for each in reversed(found["webhooks"][-SHOWN:])]
    return f"{found['count']} received · last {', '.join(last)}"


def _one(webhook: Json) -> str:
    at = read_instant(webhook["timestamp"])
    when = "" if at is None else f"{at_home(at):%H:%M:%S} "
    about = f" {webhook['customer']}" if webhook["customer"] else ""
    return f"{when}{webhook['type']}{about}"
