"""`/v1/customers`: customers, their wallets and their credit."""

from fastapi import APIRouter
from starlette.responses import Response

from billing.domain.errors import AlreadyExists
from billing.domain.text import indonesian_phone
from billing.domain.wallet import WalletStatus
from billing.services.money import crediting
from billing.services.reading import customer_export, read_models, results
from billing.services.subscriptions import subscribing
from billing.services.wallets import erasing, linking, unlinking
from billing.store.queries.balances import ShownCredit
from billing.web import answers, bodies, deeds
from billing.web.access import Administrator, Caller, Reader, Writer
from billing.web.deeds import Key, RequiredKey
from billing.web.problems import Refused
from billing.web.routes.common import CustomerId, created, refusals
from billing.web.schemas import model_of

router = APIRouter(prefix="/v1/customers", tags=["customers"])
INVOICES_SHOWN = 100
CUSTOMER = model_of(results.CustomerInDetail, "CustomerInDetail")
WALLET = model_of(results.Wallet)
CREDIT = model_of(ShownCredit, "Credit")
EXPORT = model_of(customer_export.CustomerExport)


@router.put(
    "/{customer_id}", response_model=CUSTOMER, operation_id="put_customer",
    responses=created(CUSTOMER) | refusals(404, 409, body=True),
)  # fmt: skip
def put(customer_id: CustomerId, body: bodies.CustomerBody, caller: Writer) -> Response:
    """Create a customer, or replace its name, phone and e-mail."""
    given = {"name": body.name, "phone": body.phone, "email": body.email}
    by, status = caller.actor(body.reason), 200
    try:
        subscribing.create_customer(caller.context, customer_id, **given, by=by)
        status = 201
    except AlreadyExists:
        subscribing.update_customer(caller.context, customer_id, **given, by=by)
    return _show(caller, customer_id, status)


@router.get(
    "/{customer_id}", response_model=CUSTOMER, responses=refusals(404),
    operation_id="get_customer",
)  # fmt: skip
def show(customer_id: CustomerId, caller: Reader) -> Response:
    """Show a customer: whether it was charged twice, its wallet, subscriptions and payments."""
    return _show(caller, customer_id, 200)


@router.post(
    "/{customer_id}/wallet-links", response_model=WALLET, status_code=201,
    responses=refusals(404, 409, 502, body=True), operation_id="link_wallet",
)  # fmt: skip
def link(
    customer_id: CustomerId, body: bodies.WalletLinkBody, caller: Writer, key: Key = None
) -> Response:
    """Begin to link an OVO account: send the customer to the `registration_url`."""
    # Keys are not encrypted: a keyed hash stands for the phone.
    phone = caller.context.vault.hashes(indonesian_phone(body.phone).encode())[0].hex()
    told = body.model_copy(update={"phone": phone})
    deed = deeds.of(caller, key, "wallets.link", told, customer=customer_id)
    begun = deed.do(
        lambda context: linking.link(
            context, customer_id, body.phone, caller.actor(body.reason),
            success_url=body.success_url, failure_url=body.failure_url, replace=body.replace,
            request=deed.request,
        )
    )  # fmt: skip
    found = read_models.wallet_of(caller.context.database, customer_id)
    if found.row.id != begun or found.row.status is WalletStatus.FAILED:
        cause = "" if found.row.id != begun or found.row.cause is None else f": {found.row.cause}"
        detail = f"this link has failed or ended{cause}; begin another with a new Idempotency-Key"
        raise Refused(409, "not_possible", detail)
    if found.row.status is WalletStatus.PENDING and found.row.registration_url is None:
        detail = "the gateway has not answered the first request yet; repeat this one"
        raise Refused(409, "in_progress", detail, Retry_After="1")
    return answers.one(found, 201)


@router.get(
    "/{customer_id}/wallet", response_model=WALLET, responses=refusals(404),
    operation_id="get_wallet",
)  # fmt: skip
def wallet(customer_id: CustomerId, caller: Reader) -> Response:
    """Show a customer's wallet: the live one, or else the last one."""
    return answers.one(read_models.wallet_of(caller.context.database, customer_id))


@router.delete(
    "/{customer_id}/wallet", response_model=WALLET, responses=refusals(404, 409),
    operation_id="unlink_wallet",
)  # fmt: skip
def unlink(customer_id: CustomerId, caller: Writer, key: Key = None) -> Response:
    """Unlink a customer's wallet, once no charge or refund needs it."""
    deed = deeds.Deed(caller, key, "wallets.unlink", {"customer": customer_id})
    deed.do(lambda context: unlinking.unlink(context, customer_id, caller.actor(), deed.request))
    return answers.one(read_models.wallet_of(caller.context.database, customer_id))


@router.post(
    "/{customer_id}/credits", response_model=CREDIT, status_code=201,
    responses=refusals(404, 409, body=True), operation_id="create_credit",
)  # fmt: skip
def give_credit(
    customer_id: CustomerId, body: bodies.CreditBody, caller: Writer, key: RequiredKey
) -> Response:
    """Add credit without a payment; it pays the customer's future invoices."""
    deed = deeds.of(caller, key, "credits.create", body, customer=customer_id)
    by = caller.actor(body.reason)
    made = deed.do(
        lambda context: crediting.grant(context, customer_id, body.amount, by, deed.request)
    )
    return answers.one(read_models.credit(caller.context.database, made), 201)


@router.get(
    "/{customer_id}/export", response_model=EXPORT, responses=refusals(404),
    operation_id="export_customer",
)  # fmt: skip
def export(customer_id: CustomerId, caller: Administrator) -> Response:
    """Return everything that is stored of a person, with phone and e-mail in full."""
    return answers.one(customer_export.export(caller.context, customer_id))


@router.post(
    "/{customer_id}/erase", response_model=CUSTOMER,
    responses=refusals(404, 409, body=True), operation_id="erase_customer",
)  # fmt: skip
def erase(
    customer_id: CustomerId, caller: Administrator, key: RequiredKey,
    body: bodies.ActBody | None = None,
) -> Response:  # fmt: skip
    """Erase everything personal of a customer, after the wallet is unlinked; it has no way back."""
    by = caller.actor(None if body is None else body.reason)
    # The reason is not stored with the key: it may hold a name.
    deed = deeds.Deed(caller, key, "customers.erase", {"customer": customer_id})
    deed.do(lambda context: erasing.erase(context, customer_id, by, deed.request))
    return _show(caller, customer_id, 200)


def _show(caller: Caller, customer_id: str, status: int) -> Response:
    found = read_models.customer(caller.context.database, customer_id, INVOICES_SHOWN)
    return answers.one(found, status)
