"""The addresses of the console: every page of a `World`, states of pages, actions and decisions.

A page that comes later joins by the routes; `test_web_console_walk` fails for a route that no stop
opens.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from billing.web.console.filtering import Kind as List
from billing.web.console.routes import PAGES
from tests.integration.console_world import ID, TAG, TURNED, World

_NAME = re.compile(r"\{(\w+)(?::path)?\}")
LISTS = tuple(List)
LEADS_ON = ("/charges/{charge_id}", "/refunds/{refund_id}")
"""Routes that lead to a row on another page."""


class Stop(NamedTuple):
    """A page: the name of its picture, its address within the console, and its status."""

    name: str
    path: str
    status: int = 200


def filled(path: str, ids: Mapping[str, object]) -> str:
    """Fill the path of a route."""
    return _NAME.sub(lambda found: str(ids[found[1]]), path)


def stops(ids: Mapping[str, object], routes: tuple[Any, ...] = PAGES) -> Iterator[Stop]:
    """Yield every page that a logged-in person can open, by the routes; then more states of them.

    Without ids (an empty console) only the pages that need no row.
    """
    for page in routes:
        if page.method != "GET" or page.action is None or "/export/" in page.path:
            continue
        known = all(name in ids for name in _NAME.findall(page.path))
        if known and page.path not in {*LEADS_ON, *FORMS, *WITH_QUERY}:
            yield Stop(_slug(page.path), filled(page.path, ids))
    if ids:
        yield from MORE
        yield Stop("customer-hostile", f"/customers/{quote(ID, safe='')}")


def requests(world: World) -> Iterator[Stop]:
    """Yield the other requests for approval: of other kinds, ended, and one's own."""
    for name in ("to decline", "to withdraw", "ended"):
        yield Stop(f"approval-{name.replace(' ', '-')}", f"/approvals/{world.more[name]}")


def _slug(path: str) -> str:
    return re.sub(r"\W+", "-", re.sub(r"\{[^}]*\}", "x", path)).strip("-")


def _typed(**query: str) -> str:
    return "&".join(f"{name}={quote(value)}" for name, value in query.items())


MORE = (
    Stop("search-many", f"/search?{_typed(q='alert')}"),
    Stop("search-nothing", f"/search?{_typed(q=TAG)}"),
    Stop("search-turned", f"/search?{_typed(q=TURNED)}"),
    Stop("search-long", f"/search?{_typed(q='x' * 201)}"),
    Stop("attention-some", "/attention?kind=invoice&cause=uncollectible"),
    Stop("attention-hostile", f"/attention?{_typed(kind=TAG, cause=TAG, customer=TAG)}"),
    Stop("attention-wrong", "/attention?after=x", 422),
    Stop("bulk-retry", "/attention/bulk?kind=invoice&cause=uncollectible"),
    Stop("bulk-release", "/attention/bulk?kind=subscription&cause=held"),
    Stop("bulk-nothing", "/attention/bulk?kind=invoice&cause=held"),
    Stop("ahead-plan", "/ahead?plan=P"),
    Stop("ahead-day", f"/ahead?{_typed(day='2026-02-09', plan=ID)}"),
    Stop("ahead-hostile", f"/ahead?{_typed(plan=TAG)}"),
    Stop("ahead-wrong", f"/ahead?{_typed(day=TAG)}", 422),
    Stop("plan", f"/catalogue/plan?{_typed(code=ID)}"),
    Stop("plan-unknown", f"/catalogue/plan?{_typed(code=TAG)}", 404),
    Stop("archive-plan", f"/catalogue/archive?{_typed(what='plan', code=ID)}"),
    Stop("archive-coupon", "/catalogue/archive?what=coupon&code=SALE"),
    Stop("catalogue-all", "/catalogue?status=all"),
    Stop("catalogue-wrong", f"/catalogue?{_typed(plans=TAG)}", 422),
    Stop("activity-machines", "/activity?machines=yes"),
    Stop("activity-wrong", f"/activity?{_typed(actor=TAG, kind=TAG, day=TAG)}", 422),
    Stop("failures-compared", "/failures?days=90&plan=P&steps=1d+3d"),
    Stop("failures-wrong", f"/failures?{_typed(days=TAG, plan=TAG, steps=TAG)}", 422),
    Stop("approval-unknown", f"/approvals/{quote(TAG)}", 404),
    Stop("charges-none", "/charges?status=pending"),
    Stop("charges-wrong", f"/charges?{_typed(customer=TAG, plan=TAG, status=TAG, to=TAG)}", 422),
    Stop("invoices-wrong", f"/invoices?{_typed(of=TAG, at=TAG, after=TAG)}", 422),
    Stop("customers-wrong", f"/customers?{_typed(**{'from': TAG})}", 422),
    Stop("page-unknown", f"/{quote(TAG)}", 404),
    Stop("customer-unknown", f"/customers/{quote(TAG)}", 404),
    Stop("subscription-unknown", f"/subscriptions/{quote(ID, safe='')}", 404),
)
"""States of pages that no route names: filters, nothing found, and what is wrong."""


class Act(NamedTuple):
    """An action: the path of its form as in the routes, what is filled in, and for which rows.

    `of` has the words of `World.more` for the names in the path; the others are those of `ids`.
    Most are sent for the preview, and again to confirm it; an order is done at once.
    """

    path: str
    fields: Mapping[str, str]
    of: Mapping[str, str] = {}
    sendings: int = 2
    is_order: bool = False

    @property
    def name(self) -> str:
        """Its name, for a picture and as a part of its reason."""
        return _slug(self.path)

    def at(self, world: World) -> str:
        """The address of its form."""
        return filled(self.path, {**world.ids, **{k: world.more[v] for k, v in self.of.items()}})


def acts() -> list[Act]:
    """Every action that has a form of its own; each is allowed when the world was built."""
    subscription, invoice = "/subscriptions/{subscription_id}", "/invoices/{invoice_id}"
    return [
        Act(f"{subscription}/pause", {"at": "now", "resume_at": "2026-03-20T10:30"},
            {"subscription_id": "plain"}),
        Act(f"{subscription}/resume", {"start": "anchor"}, {"subscription_id": "resting"}),
        Act(f"{subscription}/withdraw-cancel", {}, {"subscription_id": "leaving"}, sendings=1),
        Act(f"{subscription}/change", {"at": "period-end", "quantity": "2"}),
        Act(f"{subscription}/coupon", {"coupon": "LATER"}),
        Act(f"{subscription}/extra", {"title": TAG, "amount": "10.000"}),
        Act(f"{subscription}/cancel", {"at": "period-end", "unlink": "yes"}),
        Act(f"{invoice}/refund", {"amount": "1.000"}),
        Act(f"{invoice}/retry", {}, {"invoice_id": "owed"}, sendings=1),
        Act(f"{invoice}/void", {}, {"invoice_id": "given up"}, sendings=1),
        Act(f"{invoice}/charges/{{charge_id}}/resolve", {"outcome": "not_paid", "reference": "x"},
            {"invoice_id": "unknown", "charge_id": "unknown charge"}),
        *orders(),
    ]  # fmt: skip


def orders() -> list[Act]:
    """Actions with an endpoint, a person or a key: one form, which is done when it is sent."""
    endpoint, person = "/webhooks/{endpoint_id}", "/access/people/{person_id}"
    url = "https://shop.example/new"
    made = [
        Act("/webhooks/new", {"url": url, "event_types": "invoice.*", "description": TAG}),
        Act(f"{endpoint}/change", {"description": "changed"}),
        Act(f"{endpoint}/disable", {}),
        Act(f"{endpoint}/enable", {}),
        Act(f"{endpoint}/rotate", {}),
        Act(f"{endpoint}/replay", {"after": "0"}, sendings=2),
        Act(f"{endpoint}/delete", {}, {"endpoint_id": "endpoint"}),
        Act("/webhooks/deliveries/{delivery_id}/resend", {}),
        Act("/access/people/new", {"name": "Eka", "role": "viewer"}),
        Act(f"{person}/role", {"role": "operator"}),
        Act(f"{person}/password", {}),
        Act(f"{person}/second-factor", {}),
        Act(f"{person}/no-second-factor", {}),
        Act(f"{person}/disable", {}),
        Act(f"{person}/enable", {}),
        Act(f"{person}/end-sessions", {}),
        Act("/access/keys/new", {"name": "shop 2", "read": "yes"}),
        Act("/access/keys/{key_id}/revoke", {}),
    ]
    return [
        act._replace(is_order=True, sendings=2 if act.path.endswith("/replay") else 1)
        for act in made
    ]


class Decision(NamedTuple):
    """A form on a page of something else: the page, where it is sent, and the word of its button.

    `of` has the word of `World.more` for the request in the path.
    """

    page: str
    path: str
    word: str
    of: str = ""

    def at(self, world: World) -> tuple[str, str]:
        """The addresses of its page and of its form."""
        ids = {"approval_id": world.more.get(self.of, "")}
        return filled(self.page, ids), filled(self.path, ids)


_ONE = "/approvals/{approval_id}"
DECISIONS = (
    Decision("/catalogue/archive?what=plan&code=U", "/catalogue/archive", "Archive"),
    Decision("/catalogue/archive?what=coupon&code=SALE", "/catalogue/archive", "Archive"),
    Decision(_ONE, f"{_ONE}/approve", "Approve", "to approve"),
    Decision(_ONE, f"{_ONE}/decline", "Decline", "to decline"),
    Decision(_ONE, f"{_ONE}/withdraw", "Withdraw", "to withdraw"),
)
"""In an order in which each is allowed."""
FORMS = frozenset(act.path for act in acts())
WITH_QUERY = frozenset({"/attention/bulk", "/catalogue/plan", "/catalogue/archive"})
"""Pages that need a parameter; they are among `MORE`."""
SSO = {"sso_header": "X-Remote-User", "sso_proxies": "127.0.0.1"}
NOBODY = "<script>alert(1)"
"""With single sign-on: the settings, and a name that no person has."""


OTHER_FORMS = frozenset(
    {
        "/login",
        "/logout",
        "/display",
        "/charging/stop",
        "/charging/start",
        "/attention/bulk",
        "/webhooks/{endpoint_id}/test",
        *(each.path for each in DECISIONS),
    }
)
"""Forms on pages that have something else too."""
