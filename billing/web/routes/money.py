"""`/v1/invoices`, `/v1/charges` and `/v1/refunds`."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path
from starlette.responses import Response

from billing.services.money import refunding
from billing.services.operating import invoice_actions
from billing.services.reading import read_models, results
from billing.web import answers, bodies, deeds
from billing.web.access import Caller, Reader, Refunder, Writer
from billing.web.deeds import Key, RequiredKey
from billing.web.routes.common import refusals
from billing.web.schemas import model_of

router = APIRouter(prefix="/v1", tags=["invoices, charges and refunds"])
INVOICE, REFUND = model_of(results.Invoice), model_of(results.Refund)
CHARGE = model_of(results.ChargeInDetail, "ChargeInDetail")
ChargeName = Annotated[str, Path(max_length=64, description="The charge's id or gateway number")]


@router.get(
    "/invoices/{invoice_id}", response_model=INVOICE, responses=refusals(404),
    operation_id="get_invoice",
)  # fmt: skip
def invoice(invoice_id: UUID, caller: Reader) -> Response:
    """Show an invoice with its charges and refunds."""
    return _invoice(caller, invoice_id)


@router.post(
    "/invoices/{invoice_id}/retry", response_model=INVOICE,
    responses=refusals(404, 409, body=True), operation_id="retry_invoice",
)  # fmt: skip
def retry(
    invoice_id: UUID, caller: Writer, key: RequiredKey, body: bodies.ActBody | None = None
) -> Response:
    """Attempt an open or uncollectible invoice now; no dunning step is used.

    It is charged with the next tick, unless `waits_for` says something else: charging is stopped,
    or the gateway is not called for a short time.
    """
    wanted = body or bodies.ActBody()
    deed = deeds.of(caller, key, "invoices.retry", wanted, invoice=invoice_id)
    by = caller.actor(wanted.reason)
    deed.do(lambda context: invoice_actions.retry_invoice(context, invoice_id, by, deed.request))
    return _invoice(caller, invoice_id)


@router.post(
    "/invoices/{invoice_id}/void", response_model=INVOICE,
    responses=refusals(404, 409, body=True), operation_id="void_invoice",
)  # fmt: skip
def void(
    invoice_id: UUID, caller: Writer, body: bodies.ActBody | None = None, key: Key = None
) -> Response:
    """Void an invoice: it will not be charged; a late payment is refunded."""
    wanted = body or bodies.ActBody()
    deed = deeds.of(caller, key, "invoices.void", wanted, invoice=invoice_id)
    by = caller.actor(wanted.reason)
    deed.do(lambda context: invoice_actions.void_invoice(context, invoice_id, by, deed.request))
    return _invoice(caller, invoice_id)


@router.post(
    "/invoices/{invoice_id}/refunds", response_model=REFUND, status_code=201,
    responses=refusals(404, 409, body=True), operation_id="create_refund",
)  # fmt: skip
def refund_invoice(
    invoice_id: UUID, body: bodies.RefundBody, caller: Refunder, key: RequiredKey
) -> Response:
    """Refund a paid invoice, wholly or in part; the refund is sent within seconds."""
    deed = deeds.of(caller, key, "refunds.create", body, invoice=invoice_id)
    by = caller.actor(body.reason)
    made = deed.do(
        lambda context: refunding.refund_invoice(context, invoice_id, body.amount, by, deed.request)
    )
    return _refund(caller, UUID(made["refund"]), 201)


@router.get(
    "/charges/{charge_id}", response_model=CHARGE, responses=refusals(404),
    operation_id="get_charge",
)  # fmt: skip
def charge(charge_id: ChargeName, caller: Reader) -> Response:
    """Show a charge with its refunds."""
    return answers.one(read_models.charge(caller.context.database, charge_id))


@router.get(
    "/refunds/{refund_id}", response_model=REFUND, responses=refusals(404),
    operation_id="get_refund",
)  # fmt: skip
def refund(refund_id: UUID, caller: Reader) -> Response:
    """Show a refund."""
    return _refund(caller, refund_id)


def _invoice(caller: Caller, invoice_id: UUID) -> Response:
    return answers.one(read_models.invoice(caller.context.database, invoice_id))


def _refund(caller: Caller, refund_id: UUID, status: int = 200) -> Response:
    return answers.one(read_models.refund(caller.context.database, refund_id), status)
