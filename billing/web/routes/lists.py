"""The lists of `/v1`: pages with a cursor, newest first; plans and coupons by their codes."""

from typing import Annotated, TypeVar

from fastapi import APIRouter, Query
from starlette.responses import Response

from billing.domain.paging import Listed
from billing.services.reading import lists, results
from billing.store.queries import listing_rows as rows
from billing.store.queries.balances import ShownCredit
from billing.store.queries.coupons import Coupon
from billing.web import answers, queries
from billing.web.access import Reader
from billing.web.routes.common import CustomerId, refusals
from billing.web.schemas import page_of

T = TypeVar("T")

router = APIRouter(prefix="/v1", tags=["lists"], responses=refusals(404))


@router.get("/plans", response_model=page_of(rows.Plan, "Plan"), operation_id="list_plans")
def plans(caller: Reader, query: Annotated[queries.Plans, Query()]) -> Response:
    """List plans."""
    return _page(lists.plans(caller.context.database, query.wanted, query.page))


@router.get("/coupons", response_model=page_of(Coupon), operation_id="list_coupons")
def coupons(caller: Reader, query: Annotated[queries.Coupons, Query()]) -> Response:
    """List coupons."""
    return _page(lists.coupons(caller.context.database, query.wanted, query.page))


@router.get("/customers", response_model=page_of(results.Customer), operation_id="list_customers")
def customers(caller: Reader, query: Annotated[queries.Customers, Query()]) -> Response:
    """List customers, with phone and e-mail address masked."""
    return _page(lists.customers(caller.context.database, query.wanted, query.page))


@router.get(
    "/customers/{customer_id}/credits", response_model=page_of(ShownCredit, "Credit"),
    operation_id="list_credits",
)  # fmt: skip
def credits_of(
    customer_id: CustomerId, caller: Reader, query: Annotated[queries.Credits, Query()]
) -> Response:
    """List the credits of a customer, oldest first."""
    wanted = query.wanted(customer_id)
    return _page(lists.credits_of(caller.context.database, wanted, query.page))


@router.get("/wallets", response_model=page_of(rows.Wallet),
            operation_id="list_wallets")  # fmt: skip
def wallets(caller: Reader, query: Annotated[queries.Wallets, Query()]) -> Response:
    """List wallets, without their tokens."""
    return _page(lists.wallets(caller.context.database, query.wanted, query.page))


@router.get("/subscriptions", response_model=page_of(rows.Subscription),
            operation_id="list_subscriptions")  # fmt: skip
def subscriptions(caller: Reader, query: Annotated[queries.Subscriptions, Query()]) -> Response:
    """List subscriptions, without their invoices."""
    return _page(lists.subscriptions(caller.context.database, query.wanted, query.page))


@router.get("/invoices", response_model=page_of(results.Invoice), operation_id="list_invoices")
def invoices(caller: Reader, query: Annotated[queries.Invoices, Query()]) -> Response:
    """List invoices, with their charges and refunds."""
    return _page(lists.invoices(caller.context.database, query.wanted, query.page))


@router.get("/charges", response_model=page_of(results.Charge), operation_id="list_charges")
def charges(caller: Reader, query: Annotated[queries.Charges, Query()]) -> Response:
    """List charges."""
    return _page(lists.charges(caller.context.database, query.wanted, query.page))


@router.get("/refunds", response_model=page_of(rows.Refund),
            operation_id="list_refunds")  # fmt: skip
def refunds(caller: Reader, query: Annotated[queries.Refunds, Query()]) -> Response:
    """List refunds."""
    return _page(lists.refunds(caller.context.database, query.wanted, query.page))


def _page(found: Listed[T]) -> Response:
    return answers.page(found.rows, found.next_cursor)
