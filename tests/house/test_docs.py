"""What the pages say is what the code does: settings, commands, targets, files."""

import re
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from billing.config import Settings
from billing.domain.charge import QUERY_AFTER
from billing.domain.dunning import TECHNICAL_WAITS, UNSENT_WAITS
from billing.services.collecting.pipeline import GROUP, LOOK_SECONDS, LOOKS
from billing.services.context import LEASE_SECONDS
from schedules import beat
from tests.house import settings_page
from tests.house.tree import ROOT, commands

TARGETS = {"setup", "run", "demo", "test", "check", "fmt", "lint", "types", "arch", "audit"}
ROW = re.compile(r"^\| `(BILLING_[A-Z_]+)` \| (.*?) \| .+ \|$", re.MULTILINE)
CODE = re.compile(r"```.*?\n(.*?)```|`([^`\n]+)`", re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
PLACE = re.compile(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)")


def minutes(wait: timedelta) -> int:
    """A wait in minutes."""
    return int(wait.total_seconds()) // 60


QUERIES = (
    f"after {int(QUERY_AFTER[0].total_seconds())} s, {minutes(QUERY_AFTER[1])} min,"
    f" {minutes(QUERY_AFTER[2]) // 60} h, then daily"
)
HORIZON = Settings.model_fields["not_found_horizon_seconds"].default // 60
UNSENT = [minutes(wait) for wait in UNSENT_WAITS]
TECHNICAL = [minutes(wait) for wait in TECHNICAL_WAITS]
WAIT = (LOOKS - 1) * LOOK_SECONDS  # the first look ends with the first answer
HOURS = [str(wait // 60) for wait in TECHNICAL[1:]]
FIGURES = [
    ("README.md", QUERIES),
    ("README.md", f"believed after {HORIZON} minutes"),
    ("docs/failures.md", QUERIES),
    ("docs/failures.md", f"believed after {HORIZON} min,"),
    ("docs/failures.md", f"after {UNSENT[0]}, {UNSENT[1]}, {UNSENT[2]} min, then hourly"),
    ("docs/failures.md", f"its lease of {LEASE_SECONDS} s"),
    ("docs/operations.md", f"older than {HORIZON} minutes"),
    (
        "docs/dunning.md",
        f"after {TECHNICAL[0]} minutes, {', '.join(HOURS[:-1])} and {HOURS[-1]} hours",
    ),
    ("docs/performance.md", f"waits up to {WAIT * 1000:.0f} ms for others"),
    ("docs/performance.md", f"up to {GROUP} of them"),
]
"""What pages say of waits and sizes, with the values of the code."""


def pages() -> str:
    """The README, and the pages of docs/."""
    found = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
    return "\n".join(page.read_text() for page in found)


def papers() -> str:
    """The pages, and the other documents beside the README."""
    return "\n".join([pages(), *(path.read_text() for path in sorted(ROOT.glob("[A-Z]*.md")))])


def code_lines(text: str) -> Iterator[str]:
    """Every line of a code block, and every piece of code in a sentence."""
    for block, piece in CODE.findall(text):
        yield from (block or piece).splitlines()


def commands_named_in(text: str) -> set[tuple[str, ...]]:
    """The first words of each `billing` command line."""
    lines = (re.search(r"(?:^|\s)billing((?: [a-z][a-z-]*)+)", line) for line in code_lines(text))
    return {tuple(line[1].split()[:2]) for line in lines if line}


def test_page_of_settings_equals_code() -> None:
    """Renew it with: python -m tests.house.settings_page > docs/settings.md."""
    assert (ROOT / "docs/settings.md").read_text() == settings_page.page()


def test_pages_list_every_setting_with_its_default() -> None:
    """One table of settings has a row for each, and for nothing else."""
    rows = ROW.findall(pages())
    shown = {name: default.strip("` –") for name, default in rows}
    fields = Settings.model_fields.items()

    assert len(rows) == len(shown)
    assert shown == {
        f"BILLING_{name.upper()}": settings_page.default(field) for name, field in fields
    }


def test_named_settings_exist() -> None:
    """A `BILLING_…` that a page or a paper names is a setting."""
    named = set(re.findall(r"\bBILLING_[A-Z_]+[A-Z]\b", papers()))

    assert named <= {f"BILLING_{name.upper()}" for name in Settings.model_fields}


def test_defaults_in_sentences_are_those_of_the_code() -> None:
    """A number before a setting in brackets, as in "24 a day (`BILLING_…`)", is its default."""
    named = re.findall(r"(\d+)[a-z ]*\(`BILLING_([A-Z_]+)`\)", pages().replace("\n", " "))

    assert named
    assert [
        (number, name)
        for number, name in named
        if number != settings_page.default(Settings.model_fields[name.lower()])
    ] == []


@pytest.mark.parametrize(("page", "text"), FIGURES)
def test_figures_on_pages_are_those_of_the_code(page: str, text: str) -> None:
    """A wait, a limit or a size that a page names has the value that the code has."""
    assert text in " ".join((ROOT / page).read_text().split())


def test_the_page_of_operations_lists_every_tick_by_its_name() -> None:
    """A table of docs/operations.md has the ticks of the beat table; an alert names no other."""
    page = (ROOT / "docs/operations.md").read_text()
    table = page[page.index("| tick | what it does |") :].split("\n\n")[0]
    ticks = [name.removeprefix("ticks.") for name in beat.schedule(Decimal(10))]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == ticks
    alerts = (ROOT / "deploy/prometheus/alerts.yml").read_text()
    named = "|".join(re.findall(r'tick(?:=|!=|!~)"([\w|]+)"', alerts)).split("|")
    assert set(named) <= set(ticks)
    assert {f"ticks.{name}" for name in named} == beat.PACED | {beat.AUDIT}


def test_readme_is_short() -> None:
    """It has at most 200 lines; everything else is on a page of its own."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


def test_readme_leads_to_every_page() -> None:
    """Each page of docs/ and each paper is linked from the README."""
    text = (ROOT / "README.md").read_text()
    wanted = {f"docs/{page.name}" for page in ROOT.glob("docs/*.md")}
    wanted |= {page.name for page in ROOT.glob("[A-Z]*.md")} - {"README.md"}

    assert wanted <= set(LINK.findall(text))


def test_every_command_is_on_a_page() -> None:
    """Each `billing` command is named, alone or in a line such as `billing plan list | show`."""
    lines = [line for line in code_lines(pages()) if re.search(r"\bbilling\b", line)]

    def is_named(group: str, *rest: str) -> bool:
        about = (line for line in lines if re.search(rf"\bbilling {group}\b", line))
        return any(set(rest) <= set(re.findall(r"[a-z-]+", line)) for line in about)

    assert [" ".join(words) for words in commands() if not is_named(*words)] == []


def test_no_page_names_a_command_that_is_not_there() -> None:
    """A `billing` line in the pages can be typed as it stands."""
    known = set(commands())
    groups = {words[:1] for words in known}

    wrong = {
        words
        for words in commands_named_in(papers())
        if not any(words[: len(command)] == command for command in known)
        and not (len(words) == 1 and words in groups)
    }

    assert wrong == set()


def anchors(page: Path) -> set[str]:
    """The names by which a link may lead to a heading of a page."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def test_no_page_links_to_nothing() -> None:
    """Links within the repository lead to a file, and to a heading of it where they name one."""
    found = [
        (page, page.parent / target if target else page, anchor)
        for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))
        for target, anchor in PLACE.findall(page.read_text())
    ]

    assert len(found) > 20
    assert [
        f"{page.name}: {target.name}#{anchor}"
        for page, target, anchor in found
        if not target.exists() or (anchor and anchor not in anchors(target))
    ] == []


def test_make_alone_lists_the_targets() -> None:
    """Every documented `make` target exists; a dry run of `make` proves it."""
    listed = subprocess.run(
        ["make", "--no-print-directory", "-C", str(ROOT)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip

    assert {line.split()[0] for line in listed.splitlines() if line.strip()} >= TARGETS
    assert set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)) >= TARGETS


def test_no_page_names_a_make_target_that_is_not_there() -> None:
    """A `make` line in the pages can be typed as it stands."""
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    lines = (re.match(r"make ([a-z-]+)\b", line) for line in code_lines(papers()))
    named = {line[1] for line in lines if line}

    assert len(named) > 10
    assert named <= set(targets)


@pytest.mark.parametrize("name", ["CHANGELOG.md", "CONTRIBUTING.md", "DECISIONS.md", "SECURITY.md"])
def test_the_papers_of_the_house_exist(name: str) -> None:
    """Changes, decisions, contributing and security each have their document."""
    assert (ROOT / name).read_text().startswith("# ")


def test_index_of_decisions_equals_records() -> None:
    """Each record has its line at the top, with its title; numbers have no gap."""
    text = (ROOT / "DECISIONS.md").read_text()
    records = re.findall(r"(?<=\n\n)## (\d+)\. (.+)\n\n", text)
    listed = re.findall(r"^\| (\d+) \| (.+?) \| \S.* \|$", text, re.MULTILINE)

    assert listed == records
    assert [int(number) for number, _ in records] == list(range(1, text.count("\n## ")))


def test_references_between_decisions_lead_to_a_record() -> None:
    """`(41)`, or `record 41`, is the number of a record."""
    text = (ROOT / "DECISIONS.md").read_text()
    groups = re.findall(r"\((\d+(?:, \d+)*)\)|[Rr]ecord (\d+)", text)
    named = {int(number) for pair in groups for number in re.findall(r"\d+", "".join(pair))}

    assert named
    assert max(named) < text.count("\n## ")
