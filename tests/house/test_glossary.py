"""The glossary is kept: names and help texts use its words, and none that it rules out."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache

import pytest
from sqlmodel import SQLModel
from typer.core import TyperGroup

from billing.cli import program
from billing.config import Settings
from billing.store import tables
from tests.house.shown import pages
from tests.house.tree import PACKAGES, ROOT, Module, commands, modules

PAGE = ROOT / "docs" / "glossary.md"
ROW = re.compile(r"^\| (?P<word>[^|]+) \| (?P<meaning>[^|]+) \| (?P<nots>[^|]+) \|$", re.MULTILINE)
HEAD = "word"
DOTTED = re.compile(r"[a-z]+\.[a-z]+(_[a-z]+)*")
NOUNS = {
    "audit", "charge", "charging", "clock", "coupon", "credit", "customer", "invoice", "plan",
    "refund", "subscription", "wallet", "webhook",
}  # fmt: skip
"""With what events and log lines begin."""
KNOWN = NOUNS | {
    "charging", "dunning", "gateway", "keys", "message", "notification", "period", "settling",
}  # fmt: skip
"""The same, with the nouns that only the log or few events have."""
SPEAKING = ("billing/cli", "billing/domain", "billing/services", "workers")
"""Where messages are written."""
QUEUES = {"admin", "charges", "refunds", "ticks", "wallets", "webhooks"}
"""With what the names of tasks begin."""
OTHER_SENSE = {
    "bind": "the gateway's call",
    "unbind": "the gateway's call",
    "book": "the sandbox's book of accounts",
    "frozen": "a field of the sandbox's clock",
    "gap": "the hour that a clock change skips",
    "raise": "Python's word for an exception",
}
"""Words of the "not" column that docstrings and comments use in another sense, with the sense."""


@cache
def rows() -> list[tuple[str, str, list[str]]]:
    """Each word of the glossary with its meaning and the words that are not used for it."""
    found = [
        (row["word"], row["meaning"], row["nots"].split(", "))
        for row in ROW.finditer(PAGE.read_text())
    ]
    return [row for row in found if row[0] != HEAD]


def plain(text: str) -> str:
    """A text as words in lower case with one blank between them."""
    return " ".join(re.findall(r"[a-z0-9']+", text.lower()))


@cache
def not_words() -> dict[str, str]:
    """Each word of the "not" column, as words with blanks around them."""
    return {each: f" {plain(each)} " for _, _, nots in rows() for each in nots}


def ruled_out(text: str) -> list[str]:
    """The words of the "not" column that are in a text."""
    words = f" {plain(text)} "
    return [each for each, written in not_words().items() if written in words]


def columns() -> Iterator[str]:
    """Every table and column."""
    assert tables
    for name, table in SQLModel.metadata.tables.items():
        yield name
        yield from (f"{name}.{column.name}" for column in table.columns)


def dotted(folders: tuple[str, ...], nouns: set[str]) -> Iterator[str]:
    """Every text in the form `noun.word_word` whose noun is one of these."""
    for module in modules(*folders):
        if "/migrations/" in module.name:
            continue  # names of before
        for node in module.nodes:
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and DOTTED.fullmatch(node.value)
                and node.value.partition(".")[0] in nouns
            ):
                yield node.value


@cache
def names() -> dict[str, set[str]]:
    """All names that people and programs see, by what they name."""
    return {
        "column": set(columns()),
        "event": set(dotted(PACKAGES, NOUNS)),
        "task": set(dotted(("workers",), QUEUES)),
        "command": {" ".join(words) for words in commands()},
        "option": {option for options in commands().values() for option in options},
        "setting": set(Settings.model_fields),
    }


def helps(command: object = None, words: tuple[str, ...] = ("billing",)) -> Iterator[str]:
    """Every help text: of a command, its examples, its options and its arguments."""
    command = command or program.of(())
    place = " ".join(words)
    yield f"{place}: {getattr(command, 'help', '')} {getattr(command, 'epilog', '')}"
    for parameter in getattr(command, "params", []):
        yield f"{place}: {parameter.opts[0]}: {getattr(parameter, 'help', '')}"
    if isinstance(command, TyperGroup):
        for name, inner in command.commands.items():
            yield from helps(inner, (*words, name))


def messages() -> Iterator[str]:
    """Every text of several words that the commands, tasks and rules may show, as it is written."""
    for module in modules(*SPEAKING):
        written = list(module.nodes)
        silent = {id(each.value) for each in written if isinstance(each, ast.Expr)}
        for each in written:
            if isinstance(each, ast.JoinedStr):
                silent.update(id(part) for part in each.values)
        for each in written:
            if isinstance(each, ast.JoinedStr):
                text = "".join(
                    str(part.value) if isinstance(part, ast.Constant) else " "
                    for part in each.values
                )
            elif isinstance(each, ast.Constant) and id(each) not in silent:
                text = str(each.value)
            else:
                continue
            if " " in text.strip():
                yield module.at(each, text)


def remarks(module: Module) -> Iterator[tuple[int, str]]:
    """Line and text of each docstring, and of each comment; its lines are one text."""
    for node in module.nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.lineno, str(node.value.value)
    started, lines = 0, list[str]()
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type == tokenize.COMMENT:
            line = token.start[0]
            if line != started + len(lines):
                yield started, " ".join(lines)
                started, lines = line, []
            lines.append(token.string)
    yield started, " ".join(lines)


def unmarked(text: str) -> str:
    """A text without what stands in code marks: names."""
    return re.sub(r"`[^`]+`", " ", text)


def without_programs(page: str) -> str:
    """A page without the programs in other languages: these have words of their own."""
    programs = re.compile(r"^```(?:js|php|go)\n.*?^```$", re.MULTILINE | re.DOTALL)
    return programs.sub(lambda found: "\n" * found[0].count("\n"), page)


def test_each_row_of_the_glossary_is_complete() -> None:
    """A row has a word, a meaning that is a sentence, and words that are not used for it."""
    found = rows()
    listed = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]

    assert len(found) == sum(not line.startswith("| word |") for line in listed)
    for word, meaning, nots in found:
        assert meaning.endswith((".", "…")), word
        assert all(nots), word


def test_each_word_of_the_glossary_is_listed_once() -> None:
    """No word stands for two ideas, and none is ruled out by one row and used by another."""
    used = [word for listed, _, _ in rows() for word in listed.split(", ")]
    nots = [word for _, _, listed in rows() for word in listed]

    assert len(used) == len(set(used))
    assert len(nots) == len(set(nots))
    assert not set(used) & set(nots)


@pytest.mark.parametrize("kind", ["column", "event", "task", "command", "option", "setting"])
def test_names_use_the_words_of_the_glossary(kind: str) -> None:
    """No name that people and programs see has a word of the "not" column."""
    found = names()[kind]

    assert len(found) > 15
    assert {name: wrong for name in found if (wrong := ruled_out(name))} == {}


def test_help_texts_use_the_words_of_the_glossary() -> None:
    """No help text of the `billing` command has a word of the "not" column."""
    found = list(helps())

    assert len(found) > 200
    assert {text: wrong for text in found if (wrong := ruled_out(text))} == {}


def test_help_texts_are_printed_whole() -> None:
    """Rich drops square brackets as markup: no help text has any, except around bold examples."""
    found = [re.sub(r"\[/?bold\]", "", text) for text in helps()]

    assert len(found) > 200
    assert [text for text in found if "[" in text] == []


def test_messages_use_the_words_of_the_glossary() -> None:
    """No error message, printed line or description of a setting has a word of the "not" column."""
    found = [*messages(), *(field.description or "" for field in Settings.model_fields.values())]

    assert len(found) > 500
    assert {text: wrong for text in found if (wrong := ruled_out(text))} == {}


def test_pages_use_the_words_of_the_glossary() -> None:
    """No sentence of a page has a word of the "not" column; code marks hold names."""
    found = {
        f"{name}:{number}": wrong
        for name, text in pages()
        if name != "docs/glossary.md"
        for number, line in enumerate(without_programs(text).splitlines(), 1)
        if (wrong := ruled_out(unmarked(line)))
    }

    assert found == {}


def test_docstrings_and_comments_use_the_words_of_the_glossary() -> None:
    """No docstring or comment has a word of the "not" column, except in another sense."""
    found = [
        (f"{module.name}:{line}", word)
        for module in modules(*PACKAGES)
        for line, text in remarks(module)
        for word in ruled_out(unmarked(text))
    ]

    assert [each for each in found if each[1] not in OTHER_SENSE] == []
    assert {word for _, word in found} == set(OTHER_SENSE)


def test_docstrings_and_comments_are_read_whole() -> None:
    """A phrase is found in a docstring, below a constant, and across the lines of a comment."""
    text = (
        '"""One\nbad debt."""\nA = 1  # a\n# wish,\n# gone\n# by\nB = 2\n"""An `anew` value."""\n'
    )
    module = Module("example.py", text, ast.parse(text))

    assert [(line, ruled_out(unmarked(each))) for line, each in remarks(module) if line] == [
        (1, ["debt", "bad debt"]), (8, []), (3, ["wish", "gone by"]),
    ]  # fmt: skip


def test_words_that_are_ruled_out_are_found() -> None:
    """A word is found in a name, in a sentence and across blanks; a part of a word is not found."""
    assert ruled_out("charge.written_off") == ["written off"]
    assert ruled_out("Money is given back.") == ["given back"]
    assert ruled_out("no_bills") == []


def constants() -> set[str]:
    """Every text that the code has by itself, such as the value of an enum."""
    return {
        node.value
        for module in modules(*PACKAGES)
        for node in module.nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def made_names() -> list[str]:
    """Patterns of the names that code puts together, such as `refund.{status}` or `{kind}.held`."""
    found = []
    for module in modules(*PACKAGES):
        for node in module.nodes:
            if isinstance(node, ast.JoinedStr):
                parts = [
                    str(part.value) if isinstance(part, ast.Constant) else ""
                    for part in node.values
                ]
                text = "".join(parts)
                if re.fullmatch(r"[a-z_]*\.[a-z_]*", text) and text != ".":
                    found.append("".join(re.escape(part) or "([a-z_]+)" for part in parts))
    return found


def test_events_that_pages_name_exist() -> None:
    """An event or log line that a page names is written by the code."""
    written, words, made = set(dotted(PACKAGES, KNOWN)), constants(), made_names()
    texts = [*pages(), *((name, (ROOT / name).read_text()) for name in ("CHANGELOG.md",))]
    named = {
        (page, name)
        for page, text in texts
        for name in re.findall(r"`([a-z]+\.[a-z]+(?:_[a-z]+)*)`", text)
        if name.partition(".")[0] in KNOWN and not name.endswith(".py")
    }

    def is_made(name: str) -> bool:
        found = (re.fullmatch(like, name) for like in made)
        return any(each and set(each.groups()) <= words for each in found)

    assert len({name for _, name in named}) > 40
    assert [each for each in sorted(named) if each[1] not in written and not is_made(each[1])] == []
