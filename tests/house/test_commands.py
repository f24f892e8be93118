"""Every command's help has an example that works, and a typo gets a suggestion."""

import re
import shlex
from collections.abc import Iterator

import pytest
import typer
from typer.core import TyperGroup

from billing import cli
from tests.house.tree import commands


def groups() -> Iterator[tuple[str, ...]]:
    """The nouns that have commands of their own."""
    yield from dict.fromkeys(words[:1] for words in commands() if len(words) > 1)


def epilogs(command: object = None, words: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Each command with the end of its help."""
    command = command or typer.main.get_command(cli.app)
    if isinstance(command, TyperGroup):
        for name, inner in command.commands.items():
            yield from epilogs(inner, (*words, name))
    else:
        yield " ".join(words), str(getattr(command, "epilog", ""))


def slip(word: str) -> str:
    """Return the word with its last two letters swapped; a very short one gets one more letter."""
    turned = word[:-2] + word[-1] + word[-2]
    return turned if turned != word and len(word) > 2 else word + word[-1]


def told(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> str:
    """What a wrong usage is answered with, in one line."""
    assert cli.run(words) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    return line


@pytest.mark.parametrize(("name", "epilog"), [pytest.param(*e, id=e[0]) for e in epilogs()])
def test_an_example_can_be_typed(name: str, epilog: str) -> None:
    """Each example is of its own command, and names only options that this command has."""
    examples = re.findall(r"\[bold\](.*?)\[/bold\]", epilog)
    assert examples
    known = commands()[tuple(name.split())]
    for example in examples:
        assert example.startswith(f"billing {name}")
        given = {word for word in shlex.split(example) if word.startswith("--")}
        assert given <= known, example


@pytest.mark.parametrize("words", [*commands(), *groups()], ids=" ".join)
def test_a_slip_in_a_command_is_answered_with_what_was_meant(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """`billing wallet lsit` is answered with: did you mean 'list'."""
    answer = told((*words[:-1], slip(words[-1])), capsys)
    assert "did you mean" in answer
    assert f"'{words[-1]}'" in answer


OPTIONS = {
    option: words
    for words, options in commands().items()
    for option in options
    if option.startswith("--")
}
"""Each option once, with a command that takes it."""


@pytest.mark.parametrize("option", sorted(OPTIONS))
def test_a_slip_in_an_option_is_answered_with_what_was_meant(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--jsno` says: possible options: --json."""
    answer = told((*OPTIONS[option], slip(option)), capsys)
    assert option in answer.partition("ossible option")[2]
