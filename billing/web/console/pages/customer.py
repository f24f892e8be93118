"""*Customer*: whether one was charged twice, why nothing is charged, and what comes next."""

from starlette.responses import Response

from billing.services.reading import customer_page, double_charges
from billing.web.console import helping
from billing.web.console.labels import tone
from billing.web.console.visits import Visit


def show(visit: Visit) -> Response:
    """Show one customer."""
    found = customer_page.read(visit.context, visit.request.path_params["customer_id"])
    detail = found.detail
    assert visit.person is not None  # noqa: S101 - the route needs an action
    in_words = double_charges.only_unresolved(detail.totals)
    return visit.page(
        "customer.html", found=found, detail=detail, customer=detail.customer.row, tone=tone,
        says_more=detail.verdict not in {double_charges.NO, in_words},
        now=visit.context.clock.now(), helps=helping.for_person(visit.person),
    )  # fmt: skip
