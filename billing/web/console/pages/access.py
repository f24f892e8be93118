"""*Access*: who can get in, and with what? People, their sessions, and API keys."""

from starlette.responses import Response

from billing.domain.people import Action
from billing.services.operating import sessions
from billing.services.reading import access_page
from billing.services.reading.access_page import Standing
from billing.web.console.labels import N_
from billing.web.console.pages.ids import id_of
from billing.web.console.visits import PREFIX, Visit

HERE = f"{PREFIX}/access"
DONE = {
    "role": N_("The person has another role, and must log in again."),
    "enable": N_("The person may log in again, with the password of before."),
    "disable": N_("The person may not log in any more, and is logged in nowhere."),
    "no-second-factor": N_("The person logs in with the password only."),
    "end-sessions": N_("Every session of the person was ended."),
    "revoke": N_("The key is revoked: it is refused from now on."),
}


def overview(visit: Visit) -> Response:
    """Show people and keys."""
    return overview_page(visit)


def overview_page(visit: Visit, refused: str = "") -> Response:
    """Show people and keys, with a refusal of an order."""
    return visit.page(
        "access.html", 409 if refused else 200, found=access_page.read(visit.context),
        refused=refused, done=DONE.get(visit.query.get("done", ""), ""), here=HERE,
        may_manage=may_manage(visit),
    )  # fmt: skip


def may_manage(visit: Visit) -> bool:
    """Whether the visitor may change who gets in."""
    return visit.person is not None and visit.person.may(Action.MANAGE_ACCESS)


def show(visit: Visit) -> Response:
    """Show one person."""
    return person_page(visit, access_page.of_person(visit.context, id_of(visit, "person_id")))


def person_page(visit: Visit, found: Standing, refused: str = "") -> Response:
    """Show a person, with a refusal of an order."""
    return visit.page(
        "person.html", 409 if refused else 200, found=found, refused=refused,
        own=sessions.id_hash(visit.session_id), done=DONE.get(visit.query.get("done", ""), ""),
        here=f"{HERE}/people/{found.person.id}", may_manage=may_manage(visit),
    )  # fmt: skip
