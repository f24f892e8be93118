"""The options that many commands share, and how a command shows its example."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Reason = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Why; kept in the event.")
]
Limit = Annotated[str, typer.Option("--limit", metavar="N", help="At most so many.")]

LIMIT = "100"


def noun(text: str) -> typer.Typer:
    """A group of commands about one noun; without a command it prints its help."""
    return typer.Typer(help=text, no_args_is_help=True, rich_markup_mode="rich")


def example(*lines: str) -> str:
    """The last lines of a command's help."""
    return "Example: " + "\n\n".join(f"[bold]{line}[/bold]" for line in lines)
