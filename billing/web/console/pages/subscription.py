"""*Subscription*: its state, what comes next and when, why it is not charged, and its timeline."""

from starlette.responses import Response

from billing.domain.people import Action
from billing.domain.subscription import ENDED, TRANSITIONS, SubscriptionMove
from billing.services.reading import subscription_page
from billing.services.reading.subscription_page import SubscriptionPage
from billing.web.console import picture
from billing.web.console.labels import N_, tone
from billing.web.console.pages.ids import id_of
from billing.web.console.visits import PREFIX, Visit

DONE = {
    "cancel": N_("The cancellation was recorded."),
    "withdraw-cancel": N_("The planned cancellation was withdrawn."),
    "pause": N_("The pause was recorded."),
    "resume": N_("The subscription resumes, or its planned pause was withdrawn."),
    "change": N_("The change was recorded."),
    "coupon": N_("The coupon counts from the next invoice."),
    "extra": N_("The extra line is on the next invoice."),
}


def show(visit: Visit) -> Response:
    """Show one subscription."""
    return page(visit, subscription_page.read(visit.context, id_of(visit, "subscription_id")))


def page(visit: Visit, found: SubscriptionPage, refused: str = "") -> Response:
    """Show a subscription, with a refusal of an action."""
    assert visit.person is not None  # noqa: S101 - the route needs an action
    may_change = visit.person.may(Action.CHANGE_SUBSCRIPTIONS)
    return visit.page(
        "subscription.html", 409 if refused else 200, found=found, row=found.row, tone=tone,
        deeds=_possible(found) if may_change else [], refused=refused,
        may_change=may_change,
        done=DONE.get(visit.query.get("done", ""), ""),
        picture=picture.draw(found.timeline, found.now, visit.display),
        here=f"{PREFIX}/subscriptions/{found.row.id}",
    )  # fmt: skip


def _possible(found: SubscriptionPage) -> list[tuple[str, str]]:
    """List the actions that the state allows, each with its address and its button."""
    row, moves = found.row, TRANSITIONS[found.row.status]
    if row.status in ENDED:
        return []
    can_resume = SubscriptionMove.RESUME in moves or row.pause_at is not None
    listed = (
        ("change", N_("Change…"), True),
        ("coupon", N_("Coupon…"), True),
        ("extra", N_("Extra line…"), True),
        ("pause", N_("Pause…"), SubscriptionMove.PAUSE in moves and row.pause_at is None),
        ("resume", N_("Resume…"), can_resume),
        ("withdraw-cancel", N_("Withdraw the cancellation…"), row.cancel_at is not None),
        ("cancel", N_("Cancel the subscription…"), True),
    )
    return [(place, button) for place, button, is_possible in listed if is_possible]
