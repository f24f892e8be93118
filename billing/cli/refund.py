"""`billing refund`: refund a paid invoice, or retry its parked refunds."""

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from billing.cli import arguments, engine, options, output
from billing.domain import ways_out

if TYPE_CHECKING:
    from billing.domain.events import Actor

EXAMPLE = "\n\n".join(
    (
        options.example(
            "billing refund 0b9e… --amount 50000 --reason complaint",
            "billing refund 0b9e… --amount 50000 --idempotency-key ticket-4711",
        ),
        ways_out.told(ways_out.REFUND),
    )
)


def refund(
    invoice: Annotated[str, typer.Argument(metavar="INVOICE", help="Id of the paid invoice.")],
    amount: Annotated[
        str | None,
        typer.Option(
            "--amount",
            metavar="RUPIAH",
            help="Amount to refund; default: everything that is kept.",
        ),
    ] = None,
    reason: options.Reason = None,
    who: options.By = None,
    key: options.Key = None,
    *,
    again: Annotated[
        bool, typer.Option("--again", help="Retry this invoice's parked or unreturned refunds.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Refund a paid invoice, in full or in part."""
    by, wanted = arguments.operator(reason, who), arguments.identity(invoice, "invoice")
    if again:
        arguments.not_both("--again", amount=amount, idempotency_key=key)
        _send_again(wanted, by, as_json=as_json)
        return
    rupiah = None if amount is None else arguments.amount(amount)
    request = arguments.request(key, "refund", by, invoice=str(wanted), amount=rupiah)
    with engine.writing() as context:
        from billing.services.money import refunding
        from billing.services.reading import read_models

        made = refunding.refund_invoice(context, wanted, rupiah, by, request)
        found = read_models.refund(context.database, UUID(made["refund"]))

    def people() -> None:
        back = output.written("amount", found.row.amount)
        output.say(f"{back} will be refunded; see: billing invoice show {wanted}")

    output.answer(found, as_json=as_json, people=people)


def _send_again(wanted: UUID, by: "Actor", *, as_json: bool) -> None:
    with engine.writing() as context:
        from billing.services.money import refunding
        from billing.services.reading import read_models

        count = refunding.send_again(context, wanted, by)
        found = read_models.invoice(context.database, wanted).refunds
    output.answer(found, as_json=as_json, people=lambda: output.say(f"retrying {count} refund(s)"))
