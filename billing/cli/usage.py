"""Report wrong usage in one line.

The line has the form of a refusal and names the help that applies. This module knows Typer's errors
and the command tree, but no single command.
"""

import ast
import re
from collections.abc import Sequence
from typing import Protocol

from typer.exceptions import TyperException

from billing.domain.escaping import escape
from billing.domain.text import one_of

PROGRAM = "billing"
CODE = 2
_CHOICE = re.compile(
    r"(?:Value error, )?(?P<given>.+) is not one of (?P<accepted>'.+')\.?", re.DOTALL
)


class Parameter(Protocol):
    """An argument or option of a command, as Typer describes it."""

    name: str
    metavar: str | None
    opts: list[str]


def one_line(command: object, words: Sequence[str], wrong: TyperException) -> str:
    """Describe a wrong command line; empty when its help was printed instead."""
    message = " ".join(_message(wrong).split()).removesuffix(".")
    if not message:
        return ""
    message = message.replace(". Did you mean", "; did you mean").replace("(Possible", "(possible")
    first, _, _ = message.partition(" ")
    message = message if first.isupper() else message[0].lower() + message[1:]
    between = " " if message.endswith("?") else "; "
    return escape(f"{message}{between}see: {_path(command, words)} --help")


def _message(wrong: TyperException) -> str:
    parameter: Parameter | None = getattr(wrong, "param", None)
    choice = _CHOICE.fullmatch(getattr(wrong, "message", ""))
    if parameter is not None and choice is not None:
        accepted = re.findall("'([^']+)'", choice.group("accepted"))
        option = next((name for name in parameter.opts if name.startswith("-")), None)
        return one_of(option or _named(parameter), accepted, _given(choice.group("given")))
    return str(wrong.format_message()).replace("Value error, ", "")


def _named(parameter: Parameter) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _given(written: str) -> str:
    """Return the typed text from Python's representation of it."""
    try:
        return str(ast.literal_eval(written))
    except (ValueError, SyntaxError):
        return written


def _path(command: object, words: Sequence[str]) -> str:
    """Return the command that was meant, as far as its words are known."""
    path = PROGRAM
    for word in words:
        command = getattr(command, "commands", {}).get(word)
        if command is None:
            break
        path = f"{path} {word}"
    return path
