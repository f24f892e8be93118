"""The tree of commands. The module of a command is imported when the command is used.

A Typer program needs all its parts before it parses: importing the modules of all commands took a
third of a short command's time. This module does not know what a command does.
"""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Annotated, NamedTuple

import typer
from typer.core import TyperGroup


class Part(NamedTuple):
    """A command, or a group of commands; `function` is empty for a group."""

    name: str
    module: str
    function: str = ""
    epilog: str = ""
    """The constant of the module with the command's examples."""


PARTS = (
    Part("up", "foreground", "up", "UP"),
    Part("serve", "foreground", "serve", "SERVE"),
    Part("schedule", "schedule"),
    Part("plan", "plan"),
    Part("customer", "customer"),
    Part("wallet", "wallet"),
    Part("subscribe", "subscribe", "subscribe", "EXAMPLE"),
    Part("subscription", "subscription"),
    Part("invoice", "invoice"),
    Part("charge", "charge"),
    Part("refund", "refund", "refund", "EXAMPLE"),
    Part("refunds", "refunds"),
    Part("coupon", "coupon"),
    Part("credit", "credit"),
    Part("event", "event"),
    Part("key", "key"),
    Part("person", "person"),
    Part("webhook", "webhook"),
    Part("listen", "listen", "listen", "EXAMPLE"),
    Part("now", "now", "now", "EXAMPLE"),
    Part("today", "today", "today", "EXAMPLE"),
    Part("why", "why", "why", "EXAMPLE"),
    Part("attention", "attention", "attention", "ATTENTION"),
    Part("release", "attention", "release", "RELEASE"),
    Part("audit", "audit", "audit", "EXAMPLE"),
    Part("import", "import_export", "import_", "IMPORT"),
    Part("export", "import_export", "export", "EXPORT"),
    Part("forecast", "forecast", "forecast", "EXAMPLE"),
    Part("simulate", "simulate"),
    Part("clock", "clock"),
    Part("stop-charging", "stop_charging", "stop_charging", "STOP"),
    Part("start-charging", "stop_charging", "start_charging", "START"),
    Part("doctor", "doctor", "doctor", "EXAMPLE"),
    Part("db", "db"),
)
"""In the order of the help."""
_NAMES = frozenset(part.name for part in PARTS)


def of(words: Sequence[str]) -> TyperGroup:
    """Return the program that these words need: one command or group, or all of them.

    The help and the answer to a wrong first word name all commands.
    """
    return _program(words[0]) if words and words[0] in _NAMES else _program()


@cache
def _program(only: str = "") -> TyperGroup:
    app = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode="rich",
        help="Recurring OVO charges: no invoice paid twice, no period lost, no outcome assumed.",
        epilog="Run a demo without an account: [bold]billing up[/bold]."
        " Check the installation: [bold]billing doctor[/bold].",
    )
    app.callback()(_root)
    for part in PARTS:
        if part.name == only or not only:
            _add(app, part)
    return typer.main.get_group(app)


def _add(app: typer.Typer, part: Part) -> None:
    module = import_module(f"billing.cli.{part.module}")
    if part.function:
        epilog = getattr(module, part.epilog)
        app.command(part.name, epilog=epilog)(getattr(module, part.function))
    else:
        app.add_typer(module.app, name=part.name)


def _version(wanted: bool) -> None:  # noqa: FBT001 - Typer passes the value by position
    if wanted:
        from importlib.metadata import version

        typer.echo(version("ovo-billing"))
        raise typer.Exit


def _root(
    *,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
