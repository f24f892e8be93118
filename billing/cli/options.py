"""Options that many commands share, and the format of a command's examples."""

from collections.abc import Mapping
from typing import Annotated

import typer

from billing.domain import ways_out
from billing.domain.ways_out import State, Ways

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Full = Annotated[
    bool, typer.Option("--full", help="Print whole ids and all columns; a table is then wide.")
]
Reason = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Reason, stored in the event.")
]
By = Annotated[
    str | None,
    typer.Option("--by", metavar="NAME", help="Who does this; by default your user name."),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key",
        metavar="KEY",
        help="A text of your own: the same command acts once with it, also after a restore.",
    ),
]
Limit = Annotated[str, typer.Option("--limit", metavar="N", help="Maximum number of rows.")]
OfCustomer = Annotated[
    str | None, typer.Option("--customer", metavar="ID", help="Only those of this customer.")
]
OfPlan = Annotated[
    str | None,
    typer.Option("--plan", metavar="CODE", help="Only those whose invoice was opened for it."),
]
OnPlan = Annotated[
    str | None, typer.Option("--plan", metavar="CODE", help="Only those on this plan now.")
]
OfSubscription = Annotated[
    str | None,
    typer.Option("--subscription", metavar="ID", help="Only those of this subscription."),
]
OfInvoice = Annotated[
    str | None, typer.Option("--invoice", metavar="ID", help="Only those of this invoice.")
]
Since = Annotated[
    str | None,
    typer.Option("--from", metavar="ISO", help="Only those created at this time or later."),
]
Until = Annotated[
    str | None, typer.Option("--to", metavar="ISO", help="Only those created before this time.")
]
After = Annotated[
    str | None,
    typer.Option("--after", metavar="CURSOR", help="The next page of the same list."),
]

LIMIT = "100"


def noun(text: str, ways: Mapping[State, Ways] | None = None) -> typer.Typer:
    """Create a group of commands for one noun; without a command it prints its help.

    `ways` are the commands that each state allows, printed at the end of the help.
    """
    epilog = ways_out.told(ways) if ways else None
    return typer.Typer(help=text, epilog=epilog, no_args_is_help=True, rich_markup_mode="rich")


def example(*lines: str) -> str:
    """Format the examples at the end of a command's help."""
    return "Example: " + "\n\n".join(f"[bold]{line}[/bold]" for line in lines)
