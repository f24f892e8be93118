"""`billing webhook`: endpoints that receive events by HTTP, and their deliveries."""

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from billing.cli import arguments, engine, options, output
from billing.domain.errors import GatewayRefused, InvalidValue, NotKnown
from billing.domain.webhooks import DeliveryStatus
from schedules.walltime import quoted

if TYPE_CHECKING:
    from billing.store.queries.webhooks import Endpoint

app = options.noun("Webhooks: endpoints that receive events by HTTP, and the deliveries to them.")
Id = Annotated[str, typer.Argument(metavar="ID", help="Endpoint id.")]
Types = Annotated[
    list[str] | None,
    typer.Option(
        "--event-type",
        metavar="TYPE",
        help="Only events of this type, such as invoice.paid or invoice.*; may be repeated.",
    ),
]
Description = Annotated[
    str | None, typer.Option("--description", metavar="TEXT", help="What the endpoint is for.")
]
SHOWN = ("url", "event_types", "description", "disabled_cause", "first_failed_at")
COLUMNS = ("id", "state", *SHOWN)
FACTS = ("id", *SHOWN, "created_at", "disabled_at", "previous_secret_ends_at")
DELIVERIES = (
    "id", "type", "position", "status", "attempts_count", "next_attempt_at", "last_status_code",
    "last_error",
)  # fmt: skip
NONE = "no endpoints yet; create one: billing webhook create https://shop.example/hook"


@app.command(
    epilog=options.example(
        "billing webhook create https://shop.example/hook --event-type 'invoice.*'"
    )
)
def create(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where events are sent, by https.")],
    event_type: Types = None,
    description: Description = None,
    reason: options.Reason = None,
    who: options.By = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Create an endpoint for the events from now on, and print its secret."""
    by = arguments.operator(reason, who)
    with engine.engine() as context:
        from billing.services.webhooks import endpoints

        made = endpoints.create(
            context, url, by, event_types=event_type or (), description=description
        )
    output.answer(made, as_json=as_json, people=lambda: output.facts(made, (*FACTS, "secret")))


@app.command("list", epilog=options.example("billing webhook list --json"))
def list_(*, as_json: options.Json = False) -> None:
    """List endpoints, the oldest first."""
    with engine.rows() as database:
        from billing.services.webhooks import endpoints

        found = endpoints.every(database)
    rows = [{"state": _state(each), **each._asdict()} for each in found]
    output.answer(found, as_json=as_json, people=lambda: output.table(rows, COLUMNS, empty=NONE))


def _state(row: "Endpoint") -> str:
    """Say whether events arrive, in the words of the console."""
    if row.disabled_at is not None:
        return "disabled"
    return "enabled" if row.first_failed_at is None else "failing"


@app.command(epilog=options.example("billing webhook show 6f1c…"))
def show(endpoint: Id, *, as_json: options.Json = False) -> None:
    """Show an endpoint."""
    wanted = _endpoint(endpoint)
    with engine.rows() as database:
        from billing.services.webhooks import endpoints

        found = endpoints.one(database, wanted)
    output.answer(found, as_json=as_json, people=lambda: output.facts(found, FACTS))


@app.command(epilog=options.example("billing webhook update 6f1c… --enable"))
def update(
    endpoint: Id,
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="Where events are sent.")
    ] = None,
    event_type: Types = None,
    description: Description = None,
    reason: options.Reason = None,
    who: options.By = None,
    *,
    every: Annotated[bool, typer.Option("--all-types", help="Send events of all types.")] = False,
    enable: Annotated[
        bool, typer.Option("--enable", help="Send the events from now on again.")
    ] = False,
    disable: Annotated[
        bool, typer.Option("--disable", help="Send no events; pending deliveries are canceled.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Change an endpoint: its URL, types or description, or whether it is enabled."""
    by, wanted = arguments.operator(reason, who), _endpoint(endpoint)
    if every:
        arguments.not_both("--all-types", **{"event-type": bool(event_type)})
    if enable:
        arguments.not_both("--enable", disable=disable)
    types = [] if every else event_type or None
    enabled = True if enable else False if disable else None
    with engine.engine() as context:
        from billing.services.webhooks import endpoints

        changes = endpoints.Changes(url, types, description, enabled)
        found = endpoints.update(context, wanted, changes, by)
    output.answer(found, as_json=as_json, people=lambda: output.facts(found, FACTS))


@app.command(epilog=options.example("billing webhook delete 6f1c…"))
def delete(
    endpoint: Id,
    reason: options.Reason = None,
    who: options.By = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Delete an endpoint and its deliveries."""
    by, wanted = arguments.operator(reason, who), _endpoint(endpoint)
    with engine.engine() as context:
        from billing.services.webhooks import endpoints

        endpoints.delete(context, wanted, by)
    found = {"id": wanted, "deleted": True}
    said = f"webhook endpoint {wanted} is deleted"
    output.answer(found, as_json=as_json, people=lambda: output.say(said))


@app.command("rotate-secret", epilog=options.example("billing webhook rotate-secret 6f1c…"))
def rotate_secret(
    endpoint: Id,
    reason: options.Reason = None,
    who: options.By = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Make a new secret and print it; the previous one also signs for 24 hours."""
    by, wanted = arguments.operator(reason, who), _endpoint(endpoint)
    with engine.engine() as context:
        from billing.services.webhooks import endpoints

        made = endpoints.rotate_secret(context, wanted, by)
    output.answer(made, as_json=as_json, people=lambda: output.facts(made, (*FACTS, "secret")))


@app.command("test", epilog=options.example("billing webhook test 6f1c…"))
def send_test(endpoint: Id, *, as_json: options.Json = False) -> None:
    """Send an event of the type webhook.test now; exit 1 when it is not accepted."""
    wanted = _endpoint(endpoint)
    with engine.engine() as context:
        from billing.services.webhooks import endpoints

        found = endpoints.send_test(context, wanted)
    if found.error is not None:
        raise GatewayRefused(f"webhook endpoint {wanted} did not accept the test: {found.error}")
    said = f"the endpoint accepted the test with status {found.status_code}"
    output.answer(found, as_json=as_json, people=lambda: output.say(said))


@app.command(epilog=options.example("billing webhook deliveries --status failed"))
def deliveries(
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", metavar="ID", help="Only of this endpoint.")
    ] = None,
    status: Annotated[
        DeliveryStatus | None, typer.Option("--status", help="Only with this status.")
    ] = None,
    limit: options.Limit = options.LIMIT,
    *,
    as_json: options.Json = False,
) -> None:
    """List deliveries, the latest first."""
    most = arguments.page(limit)
    of = None if endpoint is None else _endpoint(endpoint)
    with engine.rows() as database:
        from billing.services.webhooks import resending

        found = resending.page(database, most, endpoint_id=of, status=status)

    def people() -> None:
        output.table(found, DELIVERIES, empty="no deliveries")

    output.answer(found, as_json=as_json, people=people)


@app.command(epilog=options.example("billing webhook resend 6f1c…"))
def resend(
    delivery: Annotated[str, typer.Argument(metavar="DELIVERY", help="Delivery id.")],
    reason: options.Reason = None,
    who: options.By = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Send one delivery again, with the same webhook-id."""
    by = arguments.operator(reason, who)
    try:
        wanted = UUID(delivery)
    except ValueError:
        raise NotKnown(
            f"{quoted(delivery)} is not the id of any delivery; see: billing webhook deliveries"
        ) from None
    with engine.engine() as context:
        from billing.services.webhooks import resending

        found = resending.resend(context, wanted, by)
    said = f"delivery {wanted} is sent again with the next tick"
    output.answer(found, as_json=as_json, people=lambda: output.say(said))


@app.command(epilog=options.example("billing webhook replay 6f1c… --after 4711"))
def replay(
    endpoint: Id,
    after: Annotated[
        str, typer.Option("--after", metavar="POSITION", help="Last position not to be sent.")
    ],
    until: Annotated[
        str | None,
        typer.Option("--last", metavar="POSITION", help="Last position; default: all events."),
    ] = None,
    reason: options.Reason = None,
    who: options.By = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Send the events of a range of positions again; received ones keep their webhook-id."""
    by, wanted = arguments.operator(reason, who), _endpoint(endpoint)
    first, last = (
        _position(after, "--after"),
        None if until is None else _position(until, "--until"),
    )
    with engine.engine() as context:
        from billing.services.webhooks import resending

        made = resending.replay(context, wanted, by, after=first, until=last)
    said = f"{made} events are sent with the next ticks"
    output.answer({"deliveries_count": made}, as_json=as_json, people=lambda: output.say(said))


def _endpoint(text: str) -> UUID:
    return arguments.identity(text, "webhook")


def _position(text: str, option: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise InvalidValue(f"{option} must be a position of the event feed, not {quoted(text)}")
    return int(text)
