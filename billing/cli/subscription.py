"""`billing subscription`: subscriptions of customers to plans; `subscribe` makes them."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from billing.cli import arguments, engine, options, output
from billing.domain import ways_out
from billing.domain.filters import SubscriptionFilter
from billing.domain.paging import Page
from billing.domain.subscription import RefundPolicy, SubscriptionStatus, check_refund

if TYPE_CHECKING:
    from billing.domain.events import Actor
    from billing.services.reading import results
    from billing.services.subscriptions.changing import Changed
    from billing.store.queries.listing_rows import Subscription as Row

app = options.noun("Subscriptions of customers to plans.", ways_out.SUBSCRIPTION)
Subscription = Annotated[str, typer.Argument(metavar="ID", help="Subscription id.")]
Amount = Annotated[
    str | None,
    typer.Option(
        "--amount", metavar="RUPIAH", help="Price per period, instead of the plan's price."
    ),
]
COLUMNS = ("id", "customer", "plan", "status", "amount", "next_due_at", "wallet_status")
NARROW = ("id", "customer", "plan", "status", "amount", "next_due_at")
"""The columns of a list that fits 100 columns of a terminal."""
NARROWEST = ("id", "customer", "plan", "status", "next_due_at")
"""The same for 80 columns."""
FACTS = (
    "id", "customer", "plan", "status", "amount", "quantity", "next_due_at", "paid_through_at",
    "timezone", "anchor", "wallet_status", "coupon", "change_at", "next_plan", "next_quantity",
    "next_amount", "pause_at", "resume_at", "cancel_at", "cancel_refund", "reason", "ended_at",
    "events_count", "held_at", "held_cause",
)  # fmt: skip
ENDED = {
    "refunded": "amount_refunded", "invoices_voided": "invoices_voided_count",
    "wallet": "wallet_outcome", "wallet_used_by": "wallet_used_by",
}  # fmt: skip
"""What a cancellation answers, and the names that are shown."""
MOVED = {"credit": "amount_credited", "charge": "amount_charged", "net": "amount_net"}
"""The same for a change."""
NEWEST = 12
"""Number of periods shown by default."""


@app.command("list", epilog=options.example("billing subscription list --status past_due"))
def list_(
    customer: options.OfCustomer = None,
    plan: options.OnPlan = None,
    status: Annotated[
        SubscriptionStatus | None,
        typer.Option("--status", help="Only subscriptions with this status."),
    ] = None,
    since: options.Since = None,
    until: options.Until = None,
    limit: options.Limit = options.LIMIT,
    after: options.After = None,
    *,
    full: options.Full = False,
    as_json: options.Json = False,
) -> None:
    """List subscriptions, newest first."""
    page = Page(arguments.page(limit), after)
    wanted = SubscriptionFilter(customer, plan, status, *arguments.span(since, until))
    with engine.rows() as database:
        from billing.services.reading import lists

        found = lists.subscriptions(database, wanted, page)
    empty = "no subscriptions; create one: billing subscribe CUSTOMER PLAN"
    output.listed(
        found, COLUMNS, empty=empty, as_json=as_json, narrow=NARROW, narrowest=NARROWEST, full=full
    )


@app.command(epilog=options.example("billing subscription show 6f1c… --all"))
def show(
    subscription: Subscription,
    *,
    whole: Annotated[
        bool, typer.Option("--all", help=f"Show every period, not only the newest {NEWEST}.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Show a subscription's timeline: periods, charges, refunds, and upcoming dates.

    An imported subscription is also found by its reference, the id in the imported row.
    """
    with engine.rows() as database:
        from billing.services.operating import importing
        from billing.services.reading import read_models

        imported = importing.imported_as(database, subscription)
        wanted = imported or arguments.identity(subscription, "subscription")
        most = read_models.PERIODS_MAX if whole else NEWEST
        if as_json:
            page = read_models.subscription(database, wanted, most)
        else:
            life = read_models.life(database, wanted, most)
            page = life.subscription
    output.answer(page, as_json=as_json, people=lambda: _people(life))


@app.command(epilog=options.example("billing subscription cancel 6f1c… --at period-end --unlink"))
def cancel(
    subscription: Subscription,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="now|period-end|ISO",
            help="When the cancellation takes effect; default: now",
        ),
    ] = None,
    refund: Annotated[
        RefundPolicy | None,
        typer.Option("--refund", help="How much of the current period is refunded; default: none"),
    ] = None,
    reason: options.Reason = None,
    who: options.By = None,
    *,
    unlink: Annotated[
        bool, typer.Option("--unlink", help="Also unlink the wallet if nothing else needs it.")
    ] = False,
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Withdraw a planned cancellation.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Cancel a subscription, now or later."""
    by, wanted = arguments.operator(reason, who), arguments.identity(subscription, "subscription")
    policy = refund or RefundPolicy.NONE
    check_refund(at, policy)
    if withdraw:
        arguments.not_both("--withdraw", at=at, refund=refund, unlink=unlink)
        _withdraw(wanted, by, as_json=as_json)
        return
    with engine.writing() as context:
        from billing.services.reading import read_models
        from billing.services.subscriptions import canceling

        when: str | datetime = at or canceling.NOW
        if at not in {None, canceling.NOW, canceling.PERIOD_END}:
            timezone = read_models.subscription(context.database, wanted).row.timezone
            when = arguments.instant(str(at), timezone, "now, period-end or an ISO 8601 instant")
        done = canceling.cancel(context, wanted, by, at=when, refund=policy, unlink=unlink)
        found = read_models.subscription(context.database, wanted)
    ended: dict[str, object] = {"amount_refunded": 0}
    ended |= {shown: done[name] for name, shown in ENDED.items() if name in done}
    output.answer(
        found,
        as_json=as_json,
        people=lambda: _say_ended(found.row, ended, policy),
        done=ended,
    )


def _say_ended(row: "Row", ended: dict[str, object], policy: RefundPolicy) -> None:
    if not row.ended_at:
        ends = output.written("cancel_at", row.cancel_at)
        output.say(f"subscription {row.id} is {row.status} and ends at {ends}")
        if policy is not RefundPolicy.NONE:
            output.say(f"the refund ({policy}) is computed then")
        return
    refunded, count, wallet, users = (ended.get(name) for name in ENDED.values())
    output.say(f"subscription {row.id} is canceled")
    if refunded or policy is not RefundPolicy.NONE:
        output.say(f"{output.written('amount', refunded)} will be refunded")
    output.say("1 open invoice was voided" if count == 1 else f"{count} open invoices were voided")
    output.say(
        f"the wallet stays linked: subscription {', '.join(map(str, users))} uses it"
        if isinstance(users, list) and users
        else {
            "none": "there is no linked wallet",
            "unlinks": "the wallet is unlinked when no charge or refund needs it any more",
            "stays": "the wallet stays linked; unlink it with:"
            f" billing wallet unlink {row.customer}",
        }[str(wallet)]
    )


def _withdraw(wanted: UUID, by: "Actor", *, as_json: bool) -> None:
    with engine.writing() as context:
        from billing.services.reading import read_models
        from billing.services.subscriptions import canceling

        canceling.withdraw(context, wanted, by)
        found = read_models.subscription(context.database, wanted)
    _say_how_it_is(found, as_json=as_json)


@app.command(epilog=options.example("billing subscription pause 6f1c… --until 2026-12-01T09:00"))
def pause(
    subscription: Subscription,
    at: Annotated[
        str, typer.Option("--at", metavar="now|period-end", help="When the pause begins.")
    ] = "now",
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="ISO", help="When the subscription resumes automatically."),
    ] = None,
    reason: options.Reason = None,
    who: options.By = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Pause a subscription; open invoices stay owed."""
    by, wanted = arguments.operator(reason, who), arguments.identity(subscription, "subscription")
    with engine.writing() as context:
        from billing.services.reading import read_models
        from billing.services.subscriptions import pausing

        timezone = read_models.subscription(context.database, wanted).row.timezone
        end = None if until is None else arguments.instant(until, timezone)
        pausing.pause(context, wanted, by, at=at, until=end)
        found = read_models.subscription(context.database, wanted)
    _say_how_it_is(found, as_json=as_json)


@app.command(epilog=options.example("billing subscription resume 6f1c… --from now"))
def resume(
    subscription: Subscription,
    start: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="anchor|now",
            help="On the original schedule, or as a new period from now.",
        ),
    ] = "anchor",
    reason: options.Reason = None,
    who: options.By = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Resume a paused or unpaid subscription, or withdraw a planned pause."""
    by, wanted = arguments.operator(reason, who), arguments.identity(subscription, "subscription")
    with engine.writing() as context:
        from billing.services.reading import read_models
        from billing.services.subscriptions import pausing

        pausing.resume(context, wanted, by, start=start)
        found = read_models.subscription(context.database, wanted)
    _say_how_it_is(found, as_json=as_json)


@app.command(epilog=options.example("billing subscription change 6f1c… --plan gym-plus"))
def change(
    subscription: Subscription,
    plan: Annotated[
        str | None, typer.Option("--plan", metavar="CODE", help="Code of the new plan.")
    ] = None,
    quantity: Annotated[
        str | None, typer.Option("--quantity", metavar="N", help="New quantity.")
    ] = None,
    amount: Amount = None,
    at: Annotated[
        str,
        typer.Option(
            "--at",
            metavar="now|period-end",
            help="When the change takes effect; now prorates the current period.",
        ),
    ] = "now",
    reason: options.Reason = None,
    who: options.By = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Change plan, quantity or price; repeating the current terms withdraws a planned change."""
    by, wanted = arguments.operator(reason, who), arguments.identity(subscription, "subscription")
    times = None if quantity is None else arguments.whole(quantity, "--quantity")
    cost = None if amount is None else arguments.amount(amount)
    with engine.writing() as context:
        from billing.services.reading import read_models
        from billing.services.subscriptions import changing

        done = changing.change(
            context, wanted, by, plan_code=plan, quantity=times, amount=cost, at=at
        )
        found = read_models.subscription(context.database, wanted)
    also: dict[str, object] = {"changed": done["changed"]}
    also |= {shown: value for name, value in done.items() if (shown := MOVED.get(name))}
    output.answer(found, as_json=as_json, people=lambda: _say_changed(found.row, done), done=also)


def _say_changed(row: "Row", done: "Changed") -> None:
    if not done["changed"]:
        output.say(f"subscription {row.id} is unchanged; the planned change is withdrawn")
    elif "net" not in done:
        begins = output.written("change_at", row.change_at)
        cost = output.written("amount", row.next_amount)
        output.say(f"from {begins} the plan is {done['plan']}, {cost} a period")
    else:
        net, cost = done["net"], output.written("amount", row.amount)
        output.say(f"subscription {row.id} is {done['plan']} now, {cost} a period")
        if net > 0:
            output.say(f"{output.written('amount', net)} is charged for the remaining days")
        elif net < 0:
            output.say(f"{output.written('amount', -net)} is the customer's, for future invoices")


@app.command(
    epilog=options.example('billing subscription extra 6f1c… --amount 25000 --title "a towel"')
)
def extra(
    subscription: Subscription,
    amount: Annotated[
        str, typer.Option("--amount", metavar="RUPIAH", help="Amount in whole rupiah.")
    ],
    title: Annotated[str, typer.Option("--title", help="Text of the line.")],
    reason: options.Reason = None,
    who: options.By = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Add a line to the next invoice only."""
    by, wanted = arguments.operator(reason, who), arguments.identity(subscription, "subscription")
    rupiah = arguments.amount(amount)
    with engine.writing() as context:
        from billing.services.money import extra_lines
        from billing.services.reading import read_models

        extra_lines.add(context, wanted, title, rupiah, by)
        found = read_models.subscription(context.database, wanted)
    said = f"extra line added to the next invoice: {output.written('amount', rupiah)}, {title}"
    output.answer(found, as_json=as_json, people=lambda: output.say(said))


def _say_how_it_is(found: "results.Subscription", *, as_json: bool) -> None:
    row = found.row

    def people() -> None:
        following = output.written("next_due_at", row.next_due_at)
        said = [f"subscription {row.id} is {row.status}"]
        if row.next_due_at or row.resume_at is None:
            said.append(f"next due: {following}")
        if row.pause_at:
            said.append(f"paused from {output.written('pause_at', row.pause_at)}")
        if row.resume_at:
            said.append(f"resumes at {output.written('resume_at', row.resume_at)}")
        output.say("; ".join(said))

    output.answer(found, as_json=as_json, people=people)


def _people(life: "results.Life") -> None:
    from billing.cli import timeline

    output.facts(life.subscription, FACTS)
    timeline.draw(life)
    output.ways(life.subscription.prospect.ways_out)
