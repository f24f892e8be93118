"""Visits: one request to the console, who makes it, and whether it comes from our own form.

The session is a cookie that scripts cannot read and other sites cannot send with a form. Over https
its name begins with `__Host-`, so that no other host of the domain can set it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hmac import compare_digest
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from billing.clock import real_now
from billing.domain.events import Actor
from billing.domain.people import Person
from billing.domain.text import checked_name
from billing.services.context import Context
from billing.services.operating import sessions
from billing.web.console import rendering, single_sign_on
from billing.web.console.display import COOKIE, COOKIE_SECONDS, Display, of_cookie
from billing.web.console.stopped import Stopped

__all__ = ["PREFIX", "Stopped", "Visit"]

PREFIX = "/console"
SESSION = "billing_session"
REASON_MAX = 255
SEARCH_NAME = "q"


@dataclass(frozen=True, slots=True)
class Visit:
    """A request, with its form, the viewer's choice of display, and the person if logged in.

    `claim` is the name that a trusted proxy gives, when people log in through it. `waiting_count`
    is how many requests wait for a second person.
    """

    context: Context
    request: Request
    form: Mapping[str, str]
    display: Display
    session_id: str
    person: Person | None
    claim: str | None = None
    waiting_count: int = 0

    @property
    def query(self) -> Mapping[str, str]:
        """Return the parameters of the address."""
        return self.request.query_params

    @property
    def address(self) -> str:
        """Return the address that the request comes from."""
        return self.request.client.host if self.request.client else "unknown"

    @property
    def actor(self) -> Actor:
        """Return the person with the reason of the form. Raises InvalidValue without a reason."""
        assert self.person is not None  # noqa: S101 - each route with an action needs a person
        reason = self.form.get("reason", "").strip()
        return Actor(
            self.person.name, checked_name("the reason", reason, REASON_MAX, field="reason")
        )

    def page(self, template: str, status: int = 200, **values: object) -> Response:
        """Answer with a page."""
        shared = {
            "person": self.person, "here": self.here, "waiting_count": self.waiting_count,
            "token": sessions.form_token(self.session_id) if self.person else "",
        }  # fmt: skip
        text = rendering.render(template, self.display, **shared | values)
        return Response(text, status, media_type="text/html")

    @property
    def here(self) -> str:
        """Return the address of this page, for a form that returns to it."""
        if self.request.method == "POST":
            return f"{PREFIX}/now"
        path = self.request.scope["raw_path"].decode("ascii", "replace")
        query = self.request.url.query
        return f"{path}?{query}" if query else path


def arrive(request: Request, context: Context, form: Mapping[str, str]) -> Visit:
    """Read cookies, and recognize the person.

    With single sign-on a session is that of the person whom the proxy names with this request, or
    none: another one may have been planted, or be left from another person.
    """
    claim = single_sign_on.claimed(request, context.settings)
    display = of_cookie(request.cookies.get(COOKIE), request.headers.get("accept-language", ""))
    session_id = request.cookies.get(session_cookie(request), "")
    counts = "part" not in request.query_params
    found = (
        sessions.recognize(context, session_id, real_now(), counts_as_use=counts)
        if session_id
        else None
    )
    person = found.person if found else None
    if single_sign_on.is_on(context.settings) and (person is None or person.name != claim):
        person = None
    waiting_count = found.approvals_count if found else 0
    return Visit(context, request, form, display, session_id, person, claim, waiting_count)


def check_origin(request: Request) -> None:
    """Raise Stopped unless a browser says that a form was sent by a page of this host."""
    site, origin = (request.headers.get(name) for name in ("sec-fetch-site", "origin"))
    host = request.headers.get("host", "")
    if site is not None and site != "same-origin":
        raise Stopped(403, "other_site")
    if origin is not None and _host_of(origin) != host:
        raise Stopped(403, "other_site")
    if site is None and origin is None:
        raise Stopped(403, "other_site")


def _host_of(origin: str) -> str | None:
    """Return the host and port of an origin; None for one that is no URL, such as null."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def check_token(visit: Visit) -> None:
    """Raise Stopped unless the form was made for this session."""
    wanted, given = sessions.form_token(visit.session_id), visit.form.get("token", "")
    if not compare_digest(wanted.encode(), given.encode(errors="replace")):
        raise Stopped(403, "old_form")


def is_secure(request: Request) -> bool:
    """Whether the browser speaks https, as far as the server or a trusted proxy says."""
    return request.url.scheme == "https"


def session_cookie(request: Request) -> str:
    """Return the name of the session's cookie."""
    return f"__Host-{SESSION}" if is_secure(request) else SESSION


def set_session(request: Request, response: Response, session_id: str) -> None:
    """Give the browser a session, or take it away with an empty id."""
    options = {"path": "/", "secure": is_secure(request), "httponly": True}
    if session_id:
        response.set_cookie(session_cookie(request), session_id, samesite="lax", **options)  # type: ignore[arg-type]
    else:
        response.delete_cookie(session_cookie(request), samesite="lax", **options)  # type: ignore[arg-type]


def set_display(request: Request, response: Response, display: Display) -> None:
    """Keep the viewer's choice for a year."""
    response.set_cookie(
        COOKIE, display.cookie(), max_age=COOKIE_SECONDS, path="/", samesite="lax",
        secure=is_secure(request), httponly=True,
    )  # fmt: skip


def redirect(to: str) -> Response:
    """Send the browser to another page, with GET."""
    return RedirectResponse(to, 303)


def inside(path: str) -> str:
    """Return a path of the console unchanged, and the first page for any other address."""
    is_ours = path.startswith(f"{PREFIX}/") and path.isprintable()
    safe = is_ours and "\\" not in path and "//" not in path.partition("?")[0]
    return path if safe else f"{PREFIX}/now"
