"""The console inside the HTTP application: headers, access, refusals as pages.

A session of the console opens no door of `/v1`, and an API key none of the console.
"""

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, quote

import structlog
from fastapi import FastAPI
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from billing.domain.errors import BillingError, NotConfigured, NotKnown
from billing.services.context import Context
from billing.store.session import is_locked, is_lost
from billing.web import problems
from billing.web.console import static_files
from billing.web.console.display import COOKIE, of_cookie
from billing.web.console.rendering import render
from billing.web.console.routes import PAGES, Page
from billing.web.console.streams import Streams
from billing.web.console.visits import (
    PREFIX,
    Stopped,
    Visit,
    arrive,
    check_origin,
    check_token,
    redirect,
)
from billing.web.requests import BODY_SECONDS, read_body

log = structlog.get_logger(__name__)

METHOD_NOT_ALLOWED = 405
FORM_MAX = 16_384
FORM_FIELDS_MAX = 50
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none';"
    " base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def install(app: FastAPI, context: Context) -> None:
    """Serve the console under its prefix, and lead a browser there from `/`."""
    app.state.streams = Streams()
    app.mount(PREFIX, Guarded(build(context, app.state.streams)))

    async def first(request: Request) -> Response:
        accepted = request.headers.get("accept", "*/*")
        is_browser = "text/html" in accepted or "*/*" in accepted
        if not is_browser or "authorization" in request.headers:
            raise HTTPException(404)
        return redirect(f"{PREFIX}/login")

    for path in ("/", PREFIX):
        app.add_route(path, first, methods=["GET"], include_in_schema=False)


def build(context: Context, streams: Streams) -> Starlette:
    """Build the application of the console alone."""
    routes = [Route(page.path, _endpoint(page, context), methods=[page.method]) for page in PAGES]
    routes.append(Route("/static/{name}", _static, methods=["GET"]))
    routes.append(Route("/", _first, methods=["GET"]))
    app = Starlette(routes=routes, exception_handlers={HTTPException: _no_page(context)})
    app.router.redirect_slashes = False
    app.state.streams = streams
    return app


class Guarded:
    """Adds the headers of security to every answer, also to refusals."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        await self._app(scope, receive, guarded)


async def _first(_request: Request) -> Response:
    return redirect(f"{PREFIX}/now")


async def _static(request: Request) -> Response:
    found = static_files.send(request.path_params["name"])
    return found if found is not None else _message(request, 404, "no_page")


def _no_page(context: Context) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Answer for an address that is no page; who is logged in keeps the navigation."""

    async def answer(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
        kind = "only_form" if error.status_code == METHOD_NOT_ALLOWED else "no_page"
        visit = await run_in_threadpool(_visit, context, request)
        return _message(request, error.status_code, kind, visit)

    return answer


def _visit(context: Context, request: Request) -> Visit | None:
    """Recognize who asks, if that is possible."""
    try:
        return arrive(request, context, {})
    except (Stopped, SQLAlchemyError):
        return None


def _endpoint(page: Page, context: Context) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        form: dict[str, str] | None = {}
        if page.method == "POST":
            form = await _form(request)
        return await run_in_threadpool(_answer, page, context, request, form)

    return endpoint


async def _form(request: Request) -> dict[str, str] | None:
    """Read a form; None when it is too long, or no form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await read_body(request.receive, FORM_MAX)
    except TimeoutError:
        return None
    if kind != "application/x-www-form-urlencoded" or body is None:
        return None
    try:
        fields = parse_qsl(
            body.decode(), keep_blank_values=True, max_num_fields=FORM_FIELDS_MAX,
            errors="strict",
        )  # fmt: skip
    except ValueError:
        return None
    found = dict(fields)
    is_plain = len(found) == len(fields) and not any("\0" in value for value in found.values())
    return found if is_plain else None


def _answer(
    page: Page, context: Context, request: Request, form: dict[str, str] | None
) -> Response:
    """Check access, answer, and turn every error into a page."""
    visit: Visit | None = None
    try:
        if page.method == "POST":
            check_origin(request)
        visit = arrive(request, context, form or {})
        return _allowed(page, visit, is_form=form is not None)
    except Stopped as stopped:
        return _message(request, stopped.status, stopped.kind, visit, action=stopped.action)
    except BillingError as refused:
        status = 404 if isinstance(refused, NotKnown) else 409
        status = 503 if isinstance(refused, NotConfigured) else status
        kind = "not_known" if status == 404 else "refused"
        return _message(request, status, kind, visit, detail=str(refused))
    except SQLAlchemyError as error:
        if isinstance(error, DBAPIError) and is_locked(error):
            return _message(request, 409, "busy", visit)
        if isinstance(error, DBAPIError) and is_lost(error):
            log.warning("web.database_lost", error=type(error).__name__)
            return _message(request, 503, "database")
        return _failed(request, error, visit)
    except Exception as error:  # noqa: BLE001 - a person gets a page, and the log the rest
        return _failed(request, error, visit)


def _allowed(page: Page, visit: Visit, *, is_form: bool) -> Response:
    """Call the handler if the person may do its action."""
    given = (*visit.request.path_params.values(), *visit.query.values())
    if not is_form or any("\0" in str(each) for each in given):
        raise Stopped(400, "no_form")
    if page.action is not None:
        if visit.person is None:
            if "part" in visit.query:
                raise Stopped(401, "no_session")
            following = visit.here if page.method == "GET" else f"{PREFIX}/now"
            return redirect(f"{PREFIX}/login?next={quote(following, safe='')}")
        if not visit.person.may(page.action):
            raise Stopped(403, "not_allowed", page.action)
    if page.method == "POST" and page.token and visit.person is not None:
        check_token(visit)
    return page.answer(visit)


def _failed(request: Request, error: BaseException, visit: Visit | None) -> Response:
    problems.log_failure(error)
    return _message(request, 500, "internal", visit)


def _message(
    request: Request,
    status: int,
    kind: str,
    visit: Visit | None = None,
    *,
    detail: str = "",
    action: str = "",
) -> Response:
    """Answer with a page that has one message; its navigation only for who is logged in."""
    request_id = str(request.state.request_id)
    if visit is not None:
        return visit.page(
            "message.html", status, kind=kind, detail=detail, action=action, request_id=request_id
        )
    display = of_cookie(request.cookies.get(COOKIE), request.headers.get("accept-language", ""))
    text = render(
        "message.html", display, person=None, here=f"{PREFIX}/now", token="", kind=kind,
        detail=detail, action=action, request_id=request_id,
    )  # fmt: skip
    return Response(text, status, media_type="text/html")
