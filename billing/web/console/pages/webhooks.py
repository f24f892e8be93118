"""*Webhooks*: does the shop hear us? Endpoints, their deliveries, and one delivery's payload."""

from starlette.responses import Response

from billing.domain.errors import InvalidValue
from billing.domain.escaping import escape
from billing.domain.paging import Page
from billing.domain.people import Action
from billing.domain.webhooks import Answer, DeliveryStatus
from billing.services.reading import webhook_pages
from billing.services.reading.webhook_pages import COUNT_MAX, DeliveryPage, EndpointPage
from billing.services.webhooks import payloads
from billing.web.console.filtering import address
from billing.web.console.labels import N_, tone
from billing.web.console.pages.ids import id_of
from billing.web.console.visits import PREFIX, Visit

PAGE = 50
HERE = f"{PREFIX}/webhooks"
DONE = {
    "change": N_("The endpoint was changed."),
    "enable": N_("The endpoint is enabled: it receives the events from now on."),
    "disable": N_("The endpoint is disabled; what was pending is canceled within seconds."),
    "replay": N_("The events are sent with the next ticks."),
    "delete": N_("The endpoint was deleted."),
    "resend": N_("The delivery is sent again with the next tick."),
}
_NO_STATUS = N_("This status does not exist.")


def overview(visit: Visit) -> Response:
    """Show all endpoints."""
    found = webhook_pages.overview(visit.context)
    return visit.page(
        "webhooks.html", found=found, may_change=may(visit, Action.CHANGE_WEBHOOKS),
        deaf=sum(each.is_deaf for each in found.endpoints),
        off=sum(each.endpoint.disabled_at is not None for each in found.endpoints),
        done=DONE.get(visit.query.get("done", ""), ""), count_max=COUNT_MAX,
    )  # fmt: skip


def may(visit: Visit, action: Action) -> bool:
    """Whether the visitor may do an action."""
    return visit.person is not None and visit.person.may(action)


def show(visit: Visit) -> Response:
    """Show an endpoint with a page of its deliveries."""
    endpoint_id, written = id_of(visit, "endpoint_id"), visit.query.get("status", "").strip()
    status = DeliveryStatus(written) if written in set(DeliveryStatus) else None
    wrong = _NO_STATUS if written and status is None else ""
    page = Page(PAGE, visit.query.get("after") or None)
    try:
        found = webhook_pages.of_endpoint(visit.context, endpoint_id, status, page)
    except InvalidValue as refused:
        wrong = refused.said
        found = webhook_pages.of_endpoint(visit.context, endpoint_id, status, Page(PAGE))
    return endpoint_page(visit, found, status, wrong=wrong, is_later=page.after is not None)


def endpoint_page(
    visit: Visit,
    found: EndpointPage,
    status: DeliveryStatus | None = None,
    *,
    wrong: str = "",
    refused: str = "",
    tested: Answer | None = None,
    is_later: bool = False,
) -> Response:
    """Show an endpoint, with a refusal of an order, or with the answer to a test."""
    here, typed = f"{HERE}/{found.health.endpoint.id}", {"status": status.value if status else ""}

    def after(cursor: str) -> str:
        return address(here, {**typed, "after": cursor})

    return visit.page(
        "webhook.html", 409 if refused else 422 if wrong else 200, found=found, wrong=wrong,
        refused=refused, tested=tested, chosen=status, statuses=list(DeliveryStatus),
        tone=tone, after=after,
        first=address(here, typed) if is_later else "", count_max=COUNT_MAX,
        may_change=may(visit, Action.CHANGE_WEBHOOKS),
        may_resend=may(visit, Action.RESEND_WEBHOOKS),
        done=DONE.get(visit.query.get("done", ""), ""), here=here,
    )  # fmt: skip


def delivery(visit: Visit) -> Response:
    """Show a delivery with its payload."""
    found = webhook_pages.of_delivery(visit.context, id_of(visit, "delivery_id"))
    return delivery_page(visit, found)


def delivery_page(visit: Visit, found: DeliveryPage, refused: str = "") -> Response:
    """Show a delivery, with a refusal of an order."""
    payload = None if found.payload is None else escape(found.payload, keep="\n")
    return visit.page(
        "delivery.html", 409 if refused else 200, found=found, tone=tone, refused=refused,
        payload=payload, webhook_id=payloads.webhook_id(found.row.id),
        may_resend=may(visit, Action.RESEND_WEBHOOKS),
        done=DONE.get(visit.query.get("done", ""), ""),
        here=f"{HERE}/deliveries/{found.row.id}",
    )  # fmt: skip
