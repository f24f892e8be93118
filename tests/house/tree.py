"""The input of the house tests: modules, tracked files and commands. It checks nothing itself."""

import ast
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType

from typer.core import TyperGroup

from billing.cli import program

ROOT = Path(__file__).parents[2]
PACKAGES = ("billing", "workers", "schedules")


@dataclass(frozen=True)
class Module:
    """One Python file, read and parsed."""

    name: str  # its path below the root
    text: str
    tree: ast.Module

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of the tree; walking takes longer than what most rules look at."""
        return tuple(ast.walk(self.tree))

    def at(self, node: ast.expr | ast.stmt, what: str = "") -> str:
        """A place in it, for a person to find."""
        return f"{self.name}:{node.lineno} {what}".rstrip()


def modules(*folders: str) -> Iterator[Module]:
    """Every Python file below these folders."""
    for folder in folders:
        yield from map(_parsed, _paths(folder))


@cache
def _paths(folder: str) -> tuple[Path, ...]:
    return tuple(sorted((ROOT / folder).rglob("*.py")))


@cache
def _parsed(path: Path) -> Module:
    text = path.read_text()
    return Module(str(path.relative_to(ROOT)), text, ast.parse(text))


@cache
def tracked_texts() -> Sequence[tuple[str, str]]:
    """Path and text of each file that git knows; of a picture, what can be read in it."""
    return tuple(_tracked_texts())


def _tracked_texts() -> Iterator[tuple[str, str]]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file():  # and not just deleted
            yield name, path.read_bytes().decode(errors="replace")


@cache
def commands() -> Mapping[tuple[str, ...], set[str]]:
    """The words of each `billing` command, and the options it takes."""
    return MappingProxyType(dict(_commands(program.of(()), ())))


def _commands(
    command: object, words: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    if isinstance(command, TyperGroup):
        for name, inner in command.commands.items():
            yield from _commands(inner, (*words, name))
    else:
        parameters = getattr(command, "params", [])
        yield words, {option for parameter in parameters for option in parameter.opts}
