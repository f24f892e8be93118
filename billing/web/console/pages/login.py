"""Log in, log out, and the viewer's choice of language and time zone."""

from dataclasses import replace

from starlette.responses import Response

from billing.clock import real_now
from billing.services.operating import sessions
from billing.services.operating.sessions import LoginsBusy, TooManyLogins, WrongLogin
from billing.web.console import single_sign_on
from billing.web.console.display import chosen
from billing.web.console.visits import (
    PREFIX,
    Stopped,
    Visit,
    inside,
    redirect,
    set_display,
    set_session,
)


def show(visit: Visit) -> Response:
    """Show the form; who is logged in gets the first page."""
    following = inside(visit.query.get("next", ""))
    if visit.person is not None:
        return redirect(following)
    if single_sign_on.is_on(visit.context.settings):
        return _sign_on(visit, following)
    return visit.page("login.html", following=following, name="", trouble="")


def _sign_on(visit: Visit, following: str) -> Response:
    """Begin a session for the person whom the proxy names, without a password."""
    if visit.claim is None:
        return visit.page("sign_on.html", 403, trouble="proxy")
    try:
        session_id = sessions.sign_on(visit.context, visit.claim, real_now())
    except WrongLogin:
        return visit.page("sign_on.html", 403, trouble="person")
    return _begun(visit, following, session_id)


def log_in(visit: Visit) -> Response:
    """Begin a session. The one that the browser had before ends: an attacker may have set it."""
    if single_sign_on.is_on(visit.context.settings):
        raise Stopped(403, "sign_on_only")
    form, following = visit.form, inside(visit.form.get("next", ""))
    name = form.get("name", "")[:200]
    try:
        session_id = sessions.log_in(
            visit.context, name.strip(), form.get("password", ""), visit.address, real_now(),
            form.get("code", "")[:20],
        )  # fmt: skip
    except WrongLogin:
        return visit.page("login.html", 401, following=following, name=name, trouble="wrong")
    except TooManyLogins:
        answer = visit.page("login.html", 429, following=following, name=name, trouble="many")
        answer.headers["Retry-After"] = "900"
        return answer
    except LoginsBusy:
        answer = visit.page("login.html", 503, following=following, name=name, trouble="busy")
        answer.headers["Retry-After"] = "2"
        return answer
    return _begun(visit, following, session_id)


def _begun(visit: Visit, following: str, session_id: str) -> Response:
    if visit.session_id:
        sessions.log_out(visit.context, visit.session_id)
    answer = redirect(following)
    set_session(visit.request, answer, session_id)
    return answer


def log_out(visit: Visit) -> Response:
    """End the session. With single sign-on the log-in would begin the next one at once."""
    sessions.log_out(visit.context, visit.session_id)
    if single_sign_on.is_on(visit.context.settings):
        answer = replace(visit, person=None).page("sign_on.html", trouble="out")
    else:
        answer = redirect(f"{PREFIX}/login")
    set_session(visit.request, answer, "")
    return answer


def display(visit: Visit) -> Response:
    """Keep another language or time zone, and return to the page."""
    wanted = chosen(visit.form.get("language", ""), visit.form.get("timezone", ""))
    answer = redirect(inside(visit.form.get("back", "")))
    set_display(visit.request, answer, wanted)
    return answer
