"""Every command's help has an example that works, a typo gets a suggestion, pages show what works.

Of the lines that pages show, those that need no server are run, and all others are run up to the
settings that they lack.
"""

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.core import TyperCommand, TyperGroup

from billing import cli
from billing.cli import program
from tests.commands import command as run
from tests.house import shown
from tests.house.shown import Shown
from tests.house.test_production import SERVICES, celery_takes
from tests.house.tree import ROOT, commands


def groups() -> Iterator[tuple[str, ...]]:
    """The nouns that have commands of their own."""
    yield from dict.fromkeys(words[:1] for words in commands() if len(words) > 1)


def epilogs(command: object = None, words: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Each command with the end of its help."""
    command = command or program.of(())
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


OTHERS = {"cp", "curl", "pip"}
"""Programs of the system; what is typed for them is not checked."""
WITHOUT_SERVERS = {("schedule", "preview"), ("simulate", "dunning")}
STARTS_SERVERS = {"up", "serve"}
FILES = {
    "customers.csv": "id,name\nCUST_31,Ayu Lestari\n",
    "running.csv": "id,customer,plan,anchor,next_due_at\n",
    "wallets.csv": "amount,due_day,opening,payday,income,top_ups,top_up,spending,limited\n"
    "50000,3,20000,25,400000,2,50000,9000,1\n",
}
"""The files that the pages name."""
LINES = list(shown.lines())
OURS = [line for line in LINES if line.billing is not None]


def named(line: Shown) -> str:
    """A line as the id of a test."""
    return f"{line.page}: {' '.join(line.words)}"


@pytest.fixture
def _a_reader_without_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the files that the pages name, and no setting."""
    for name in [name for name in os.environ if name.startswith("BILLING_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    Path("docs").mkdir()
    for name, text in FILES.items():
        Path(name).write_text(text)


@pytest.mark.parametrize("line", [*OURS, *shown.inline()], ids=named)
def test_each_billing_line_of_a_page_is_understood(
    line: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands, arguments and options are those of the program; one that is incomplete is not."""
    words = line.billing
    assert words is not None
    if words in {*commands(), *groups()}:
        return  # the name of a command, in a sentence
    monkeypatch.setattr(TyperCommand, "invoke", lambda *_: None)

    code, _, complained = run(words, {})

    assert (code, complained) == (0, "")


def without_wait(words: Sequence[str]) -> tuple[str, ...]:
    """A line that waits zero seconds: a missing setting does not come while it waits."""
    pairs = zip(["", *words], words, strict=False)
    return tuple("0" if option == "--wait" and word.isdigit() else word for option, word in pairs)


@pytest.mark.timeout(120)  # a simulation and its chart, on a machine that is busy
@pytest.mark.usefixtures("_a_reader_without_settings")
@pytest.mark.parametrize(
    "line",
    [line for line in OURS if line.billing and line.billing[0] not in STARTS_SERVERS],
    ids=named,
)
def test_each_billing_line_of_a_code_block_runs(line: Shown) -> None:
    """It succeeds and prints what the page shows, or it lacks nothing but a setting."""
    assert line.billing is not None
    words = without_wait(line.billing)

    code, said, complained = run(words, {})

    if words[:2] in WITHOUT_SERVERS:
        assert (code, complained) == (0, "")
        if line.output:
            assert [text.rstrip() for text in said.splitlines()] == list(line.output)
    else:
        assert code == 1
        assert "not set" in said + complained


def can_be_typed(words: tuple[str, ...]) -> bool:
    """Whether a line of another program names what exists."""
    match words:
        case ("make", *targets):
            known = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            return set(targets) <= set(known)
        case ("celery", *rest):
            return celery_takes(rest)
        case (".venv/bin/python" | "python", "-m", module, *_):
            return find_spec(module) is not None
        case (".venv/bin/python" | "python", "-c", code):
            return bool(compile(code, "page", "exec"))
        case (".venv/bin/pytest", *rest):
            return all((ROOT / word).exists() for word in rest if "/" in word)
        case ("docker", "compose", "up", *_):
            return True
        case ("docker", "compose", "exec", *rest):
            return any(word in SERVICES for word in rest)
        case _:
            return words[0] in OTHERS


def test_each_line_of_other_programs_can_be_typed() -> None:
    """Targets, modules, services and test files that a code block names exist."""
    others = [line for line in LINES if line.billing is None]

    assert len(others) > 15
    assert [named(line) for line in others if not can_be_typed(line.words)] == []


def test_lines_that_pages_show_are_found() -> None:
    """The pages have command lines in blocks, in tables, in containers, and with their output."""
    assert len(OURS) > 30
    assert any(line.words[0] == "docker" for line in OURS)
    assert sum(bool(line.output) for line in OURS) >= 3
    assert {line.page for line in shown.inline()} > {"README.md", "docs/failures.md"}
