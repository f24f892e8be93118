"""The HTTP application: `uvicorn billing.web.app:app`, or `billing serve`.

It has no business rule: each route calls one service. Handlers are plain functions, which run in a
pool of threads; each has at most one database connection at a time.
"""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI
from sqlalchemy.exc import SQLAlchemyError

from billing import bootstrap, config, logs
from billing.domain.errors import BillingError
from billing.logs import Logger
from billing.services.context import Context
from billing.services.operating import call_times
from billing.web import document, notifications, problems
from billing.web.access import Limiter
from billing.web.console import app as console
from billing.web.console.visits import PREFIX as CONSOLE
from billing.web.metrics import Scrapes
from billing.web.requests import Doorkeeper
from billing.web.routes import (
    about,
    catalog,
    customers,
    events,
    lists,
    money,
    subscriptions,
    webhooks,
)

log = Logger(__name__)

DESCRIPTION = (
    "Recurring OVO charges. Send an API key as `Authorization: Bearer …`. Amounts are whole rupiah,"
    " instants are ISO 8601 in UTC, lists are pages with a cursor, refusals are RFC 9457 documents."
)
GARBAGE_THRESHOLD = 50_000
ROUTERS = (customers, catalog, subscriptions, money, lists, events, webhooks, about)


def create(context: Context) -> FastAPI:
    """Build the application on an engine."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = context.settings.web_threads
        storing = asyncio.create_task(_store_call_times(context))
        yield
        storing.cancel()
        limiter.close()
        context.pool.shutdown(wait=False)
        context.database.dispose()

    limiter = Limiter(context.settings.redis, context.settings.web_requests_per_second)
    app = FastAPI(
        title="ovo-billing", version="1", description=DESCRIPTION, lifespan=lifespan,
        servers=[{"url": "/"}], openapi_url="/v1/openapi.json", docs_url=None, redoc_url=None,
        redirect_slashes=False, separate_input_output_schemas=False,
    )  # fmt: skip
    app.state.context, app.state.limiter = context, limiter
    app.state.scrapes = Scrapes(context)
    for each in ROUTERS:
        app.include_router(each.router)
    problems.install(app)
    document.install(app)
    app.include_router(notifications.router(context))
    console.install(app, context)
    app.add_middleware(
        Doorkeeper, raw_paths=frozenset({context.settings.doku_notification_path}),
        raw_prefixes=(f"{CONSOLE}/",),
    )  # fmt: skip
    return app


async def _store_call_times(context: Context) -> None:
    """Store this process's times of gateway calls: a scrape reaches only one of several."""
    own_thread = CapacityLimiter(1)
    while True:
        await asyncio.sleep(call_times.EVERY_SECONDS)
        try:
            await to_thread.run_sync(
                call_times.store, context, abandon_on_cancel=True, limiter=own_thread
            )
        except (SQLAlchemyError, BillingError) as error:
            log.warning("call_times.not_stored", why=type(error).__name__)


def created(context: Context) -> FastAPI:
    """Build the application of a process that does nothing else.

    What it holds is no garbage: to look through all of it again takes a tenth of a second, in which
    no request is answered.
    """
    built = create(context)
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
    gc.enable()
    return built


def __getattr__(name: str) -> Any:
    """Build `app` when a server asks for it, and not when a test imports this module."""
    if name != "app":
        raise AttributeError(name)
    settings = config.load()
    logs.configure(settings.log_format, settings.log_level)
    return created(bootstrap.build(settings, connections=settings.web_threads, briefly=True))
