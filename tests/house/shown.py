"""The command lines that the pages show, with the output below them. It checks nothing itself."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.house.tree import ROOT

BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`((?:\.venv/bin/)?billing [^`\n]+)`")
ASSIGNMENT = re.compile(r"[A-Z_]+=")
ENDS = {">", "<", "|"}
"""Where the words of a program end and the shell's begin."""
EXAMPLES = {
    "CHARGE": "7d2a6f1c-93d4-4c11-8a34-0b9e5f1c7d2a", "CODE": "gold", "COMMAND": "refund",
    "CUSTOMER": "CUST_31", "ID": "6f1c93d4-4c11-8a34-0b9e-5f1c7d2a6f1c",
    "INVOICE": "0b9e5f1c-7d2a-6f1c-93d4-4c118a340b9e", "KIND": "invoice", "NOUN": "plan",
    "PHONE": "6281234567890", "SUBSCRIPTION": "6f1c93d4-4c11-8a34-0b9e-5f1c7d2a6f1c",
    "ENDPOINT": "6f1c93d4-4c11-4a34-8b9e-5f1c7d2a6f1c",
    "DELIVERY": "7a1c93d4-4c11-4a34-8b9e-5f1c7d2a6f1c",
}  # fmt: skip
"""What a reader types in the place of a word in capitals."""


@dataclass(frozen=True)
class Shown:
    """One command line of a page."""

    page: str
    words: tuple[str, ...]
    output: tuple[str, ...] = ()

    @property
    def billing(self) -> tuple[str, ...] | None:
        """The words after `billing`, also of one that runs in a container; None of another."""
        words = self.words
        if words[:3] == ("docker", "compose", "exec") and "billing" in words:
            words = words[words.index("billing") :]
        if words and Path(words[0]).name == "billing":
            return tuple(EXAMPLES.get(word, word) for word in words[1:])
        return None


PAPERS = ("README", "CHANGELOG", "CONTRIBUTING", "DECISIONS", "SECURITY")


def pages() -> Iterator[tuple[str, str]]:
    """The name and the text of each page that people read to use or change the engine."""
    papers = (ROOT / f"{name}.md" for name in PAPERS)
    for path in (*papers, *sorted(ROOT.glob("docs/*.md"))):
        yield str(path.relative_to(ROOT)), path.read_text()


def lines() -> Iterator[Shown]:
    """Every command line of a code block."""
    for page, text in pages():
        for language, block in BLOCK.findall(text):
            if language == "sh":
                for line in block.replace("\\\n", " ").splitlines():
                    yield from _commands(page, line)
            else:
                for part in f"\n{block}".split("\n$ ")[1:]:
                    line, *output = part.splitlines()
                    for shown in _commands(page, line):
                        yield Shown(page, shown.words, tuple(output))


def inline() -> Iterator[Shown]:
    """Every `billing …` in a sentence or a table that has more than the name of a command."""
    for page, text in pages():
        for line in INLINE.findall(BLOCK.sub("", text)):
            if "\\|" not in line:
                yield from _commands(page, line)


def _commands(page: str, line: str) -> Iterator[Shown]:
    words: list[str] = []
    for word in [*shlex.split(line, comments=True), "&&"]:
        if word != "&&":
            words.append(word)
            continue
        end = next((place for place, each in enumerate(words) if each in ENDS), len(words))
        begin = next((place for place, each in enumerate(words) if not ASSIGNMENT.match(each)), end)
        if begin < end:
            yield Shown(page, tuple(words[begin:end]))
        words = []
