"""`/v1/me`, and the paths that need no key: `/health`, `/ready` and `/metrics`."""

from hmac import compare_digest

from fastapi import APIRouter, Request
from pydantic import BaseModel
from redis import Redis
from redis.exceptions import RedisError
from starlette.responses import Response

from billing.domain.api_keys import ApiKey
from billing.domain.errors import BillingError
from billing.store import migrate
from billing.web import answers
from billing.web.access import Credentials, Reader, context_of
from billing.web.metrics import Scrapes
from billing.web.problems import Refused
from billing.web.routes.common import refusals
from billing.web.schemas import model_of

router = APIRouter(tags=["about"])
PING_SECONDS = 2


class Health(BaseModel):
    """The process answers."""

    status: str


class Readiness(BaseModel):
    """Whether requests can be served: `ok`, or what is wrong, for each part."""

    database: str
    revision: str
    redis: str


@router.get("/v1/me", response_model=model_of(ApiKey), responses=refusals(), operation_id="get_me")
def me(caller: Reader) -> Response:
    """Show the key that is calling: its name and its scopes."""
    return answers.one(caller.key)


NO_KEY: dict[str, object] = {"security": []}


@router.get("/health", response_model=Health, operation_id="health", openapi_extra=NO_KEY)
async def health() -> Response:
    """Say that the process is alive; nothing else is looked at."""
    return answers.one({"status": "ok"})


@router.get(
    "/ready", response_model=Readiness, operation_id="ready", openapi_extra=NO_KEY,
    responses={503: {"model": Readiness, "description": "A part is missing"}},
)  # fmt: skip
def ready(request: Request) -> Response:
    """Say whether the database, its revision and Redis are as they must be."""
    context = context_of(request)
    found = {"database": "ok", "revision": "unknown", "redis": "ok"}
    try:
        context.database.check()
        has, wants = migrate.status(
            context.settings.database, pooler=context.settings.database_pooler
        )
        found["revision"] = "ok" if has == wants else f"{has}, needs {wants}"
    except BillingError:
        found["database"] = "cannot be reached"
    client = Redis.from_url(
        context.settings.redis, socket_timeout=PING_SECONDS, socket_connect_timeout=PING_SECONDS
    )
    try:
        client.ping()
    except RedisError:
        found["redis"] = "cannot be reached"
    finally:
        client.close()
    is_ready = all(value == "ok" for value in found.values())
    return answers.one(found, 200 if is_ready else 503)


@router.get("/metrics", include_in_schema=False)
def metrics(request: Request, credentials: Credentials) -> Response:
    """Show figures for Prometheus. With BILLING_METRICS_TOKEN set, that token is needed."""
    token = context_of(request).settings.metrics_token.get_secret_value()
    given = "" if credentials is None else credentials.credentials
    if token and not compare_digest(given.encode(), token.encode()):
        raise Refused(
            401, "unauthorized", "send BILLING_METRICS_TOKEN as `Authorization: Bearer …`",
            WWW_Authenticate="Bearer",
        )  # fmt: skip
    scrapes: Scrapes = request.app.state.scrapes
    body, content_type = scrapes.text(request.headers.get("accept", ""))
    return Response(body, media_type=content_type)
