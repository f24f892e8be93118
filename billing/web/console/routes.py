"""Routes: every page and form of the console, with the action that it needs.

The action belongs to the handler, never to a path: a path can be written in many ways. A route
without an action is for everyone, also for who is not logged in.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from starlette.responses import Response

from billing.domain.people import Action
from billing.web.console.filtering import Kind
from billing.web.console.pages import ahead, attention, customer, lists, login, now, search
from billing.web.console.visits import Visit


class Page(NamedTuple):
    """A page or a form: its path within the console, and the function that answers.

    A form of a person carries the token of the session, except the one that begins a session.
    """

    method: str
    path: str
    action: Action | None
    answer: Callable[[Visit], Response]
    token: bool = True


PAGES = (
    Page("GET", "/login", None, login.show),
    Page("POST", "/login", None, login.log_in, token=False),
    Page("POST", "/logout", None, login.log_out),
    Page("POST", "/display", None, login.display),
    Page("GET", "/now", Action.SEE_ENGINE, now.show),
    Page("POST", "/charging/stop", Action.STOP_CHARGING, now.stop_charging),
    Page("POST", "/charging/start", Action.START_CHARGING, now.start_charging),
    Page("GET", "/search", Action.SEE_CUSTOMERS, search.show),
    *(Page("GET", f"/{kind}", Action.SEE_CUSTOMERS, partial(lists.show, kind)) for kind in Kind),
    *(
        Page("GET", f"/export/{kind}", Action.EXPORT_LISTS, partial(lists.export, kind))
        for kind in Kind
    ),
    Page("GET", "/ahead", Action.SEE_CUSTOMERS, ahead.show),
    Page("GET", "/attention", Action.SEE_CUSTOMERS, attention.show),
    Page("GET", "/attention/bulk", Action.ACT_IN_BULK, attention.choose),
    Page("POST", "/attention/bulk", Action.ACT_IN_BULK, attention.act),
    Page("GET", "/attention/done/{key}", Action.ACT_IN_BULK, attention.done),
    Page("GET", "/customers/{customer_id:path}", Action.SEE_CUSTOMERS, customer.show),
)
