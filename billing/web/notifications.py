"""Notifications: the route to which DOKU sends its HTTP notifications.

The signature is checked before any database work. A genuine notification then takes one short
transaction in a thread. This module knows HTTP; `billing.gateway` knows what is signed and said.
"""

import asyncio
from functools import partial
from http import HTTPStatus

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import ClientDisconnect

from billing.domain.errors import BillingError
from billing.domain.notifications import Notification
from billing.gateway.notifications import BODY_MAX, Refusal, judge
from billing.logs import Logger
from billing.services.collecting import notifications
from billing.services.context import Context

log = Logger(__name__)

BODY_SECONDS = 10.0
"""How long the body may take to arrive."""
THREADS = 4
"""Transactions at the same time; fewer than the connections of the database pool."""
WAITING_MAX = 200
"""Notifications that may wait for a thread; DOKU repeats those that are refused."""

_STATUSES = {
    Refusal.NOT_SIGNED: HTTPStatus.UNAUTHORIZED,
    Refusal.UNREADABLE: HTTPStatus.BAD_REQUEST,
}


def router(context: Context) -> APIRouter:
    """Build the route `POST` of the path in BILLING_DOKU_NOTIFICATION_PATH.

    200: the notification is genuine. This includes repeats, news about something else than a
    payment, and payments that are not ours. DOKU's samples answer 404 then, but DOKU repeats
    everything except 2xx, and a repeat cannot help: a charge is committed before it is sent, so a
    payment without a charge belongs to another program with the same Client-Id.
    401: not signed. 400: signed, and unreadable. 408 or 413: too slow or too long. 503: the
    database did not answer in time, so DOKU should repeat (30 minutes, 6 and 12 hours later).
    """
    settings = context.settings
    check = partial(
        judge,
        client_id=settings.doku_client_id,
        secret=settings.doku_secret_key.get_secret_value().encode(),
        target=settings.doku_notification_path,
    )
    limiter = CapacityLimiter(THREADS)

    async def receive(request: Request) -> Response:
        """Take one notification."""
        body = await _body(request)
        if isinstance(body, HTTPStatus):
            return _answer(body)
        headers = [(name.decode("latin-1"), value.decode("latin-1"))
                   for name, value in request.headers.raw]  # fmt: skip
        judged = check(headers, body)
        if isinstance(judged, Refusal):
            log.warning("notification.refused", why=judged.value)
            return _answer(_STATUSES[judged])
        if not isinstance(judged, Notification):
            return _answer(HTTPStatus.OK)
        if limiter.statistics().tasks_waiting >= WAITING_MAX:
            return _answer(HTTPStatus.SERVICE_UNAVAILABLE)
        return _answer(await run_sync(_received, context, judged, limiter=limiter))

    routes = APIRouter()
    routes.add_api_route(
        settings.doku_notification_path, receive, methods=["POST"], include_in_schema=False
    )
    return routes


def _received(context: Context, notification: Notification) -> HTTPStatus:
    try:
        notifications.receive(context, notification)
    except (SQLAlchemyError, BillingError) as error:
        log.warning("notification.postponed", why=type(error).__name__)
        return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.OK


async def _body(request: Request) -> bytes | HTTPStatus:
    """Read the body, or return the status for one that is too long or too slow."""
    stated = request.headers.get("content-length", "0")
    if stated.isdecimal() and len(stated) < 20 and int(stated) > BODY_MAX:
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > BODY_MAX:
                    return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    except TimeoutError:
        return HTTPStatus.REQUEST_TIMEOUT
    except ClientDisconnect:
        return HTTPStatus.BAD_REQUEST  # the answer is not read
    return bytes(body)


def _answer(status: HTTPStatus) -> Response:
    return Response(f"{status.phrase}\n", status, media_type="text/plain")
