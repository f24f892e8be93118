"""Difficult files: pipes, full disks, terminals without some letters, open quotes."""

import csv
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from billing.domain.events import OPERATOR
from billing.services.operating import importing
from billing.services.subscriptions import subscribing
from tests.forked import Parent
from tests.integration.command import Billing, environment
from tests.integration.engine import Engine

CODE = "from billing.cli import main; main()"
MAIN = [sys.executable, "-c", CODE]
SPAN = ("--from", "2026-01-01", "--to", "2027-01-01")
CUSTOMER = "toko_日本"
SECONDS = 30


@pytest.fixture
def forked(parent_of_programs: Parent, engine: Engine) -> Callable[..., CompletedProcess[bytes]]:
    """Run the command as a process of its own, which need not import again what others have."""

    def run(*words: str, encoding: str = "utf-8", **options: Any) -> CompletedProcess[bytes]:
        env = os.environ | environment(engine) | {"PYTHONIOENCODING": encoding}
        return parent_of_programs.run("", words, env, code=CODE, **options)

    return run


@contextmanager
def piped(rows: bytes) -> Iterator[int]:
    """The end of a pipe from which these rows can be read."""
    read, write = os.pipe()
    try:
        os.write(write, rows)
        os.close(write)
        yield read
    finally:
        os.close(read)


def program(engine: Engine, *words: str, **options: Any) -> CompletedProcess[bytes]:
    """Run the command as Python is started for it."""
    env = os.environ | environment(engine)
    plain: dict[str, Any] = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "timeout": SECONDS,
    }
    return subprocess.run([*MAIN, *words], env=env, check=False, **plain | options)


@pytest.fixture
def billed(engine: Engine) -> Engine:
    """One customer with an invoice and a name that few encodings can write."""
    engine.plan()
    subscribing.create_customer(engine.context, CUSTOMER, name="名前", by=OPERATOR)
    at = "2026-01-31T09:00"
    row = {"id": "1", "customer": CUSTOMER, "plan": "P", "anchor": at, "next_due_at": at}
    [*_, report] = importing.subscriptions(engine.context, [(2, row)], OPERATOR)
    assert report.added == 1
    engine.run()
    return engine


def test_an_open_quote_in_the_middle_loses_no_other_row(
    engine: Engine, billing: Billing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches before and after it are written; its own line is reported."""
    monkeypatch.setattr(importing, "BATCH", 7)
    names = [f"Z{n},Name of person {n}" for n in range(50)]
    names[20] = 'Z20,"Open quote'
    file = tmp_path / "mid.csv"
    file.write_text("\n".join(["id,name", *names, ""]))

    told = billing("import", "customers", file, code=1)

    assert (told["added_count"], told["known_count"], told["rejected_count"]) == (49, 0, 1)
    with Path(told["rejects_file"]).open() as text:
        assert [row["line"] for row in csv.DictReader(text)] == ["22"]
    assert engine.counts()["customers"] == 49


@pytest.mark.parametrize("source", ["-", "/dev/stdin"])
def test_a_pipe_is_imported(
    engine: Engine, forked: Callable[..., Any], tmp_path: Path, source: str
) -> None:
    """What comes from another program needs no file; its rejects go into the working folder."""
    rows = "id,name\nN1,Ani\nN2,نیک\u200cآیین\nN3,\n".encode()

    with piped(rows) as given:
        done = forked("import", "customers", source, "--json", given=given, folder=tmp_path)

    told = json.loads(done.stdout)
    assert (done.returncode, told["added_count"], told["rejected_count"]) == (1, 2, 1)
    assert (tmp_path / told["rejects_file"]).read_text().splitlines()[1].startswith("4,")
    assert engine.counts()["customers"] == 2


def test_a_reject_file_that_is_in_the_way_is_told_before_anything_is_written(
    engine: Engine, billing: Billing, tmp_path: Path
) -> None:
    """A link there could let the import overwrite any file."""
    file = tmp_path / "c.csv"
    file.write_text("id,name\nA,Ayu\n,Nobody\n")
    precious = tmp_path / "precious"
    precious.write_text("line,reason\n")
    (tmp_path / "c.csv.rejected.csv").symlink_to(precious)

    assert "move it away" in billing("import", "customers", file, code=1)

    assert precious.read_text() == "line,reason\n"
    assert engine.counts()["customers"] == 0


@pytest.mark.parametrize(
    "words",
    [("export", "invoices", *SPAN), ("export", "invoices", *SPAN, "--json"), ("plan", "list")],
)
@pytest.mark.usefixtures("billed")
def test_a_full_disk_is_one_line(forked: Callable[..., Any], words: tuple[str, ...]) -> None:
    """Exit code 1, without a message of Python at the end of the process."""
    with Path("/dev/full").open("wb") as full:
        done = forked(*words, into=full.fileno())

    assert done.returncode == 1
    assert done.stderr == b"billing: cannot write the output: No space left on device\n"


def test_rejects_that_cannot_be_written_are_one_line(engine: Engine, tmp_path: Path) -> None:
    """The added rows are reported nevertheless, and no incomplete file remains."""
    file = tmp_path / "c.csv"
    file.write_text("id,name\nA,Ayu\n,Nobody\n")

    def no_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    done = program(engine, "import", "customers", str(file), preexec_fn=no_files)

    assert done.returncode == 1
    assert done.stderr.decode() == (
        f"billing: cannot write {file}.rejected.csv: File too large;"
        " 1 added, 0 known already, 1 rejected\n"
    )
    assert [each.name for each in tmp_path.iterdir()] == ["c.csv"]
    assert engine.counts()["customers"] == 1


@pytest.mark.usefixtures("billed")
def test_a_reader_who_leaves_is_no_error(forked: Callable[..., Any]) -> None:
    """As with `| head`: nothing is printed."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        done = forked("export", "invoices", *SPAN, into=pipe.fileno())

    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.usefixtures("billed")
@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_an_export_keeps_its_letters_and_a_table_does_not_break(
    forked: Callable[..., Any], encoding: str
) -> None:
    """CSV is always UTF-8; JSON escapes; a table shows what the terminal can."""
    done = forked("export", "invoices", *SPAN, encoding=encoding)
    [row] = csv.DictReader(done.stdout.decode("utf-8").splitlines())
    assert row["customer"] == CUSTOMER
    assert b"\r\r" not in done.stdout

    said = forked("customer", "list", "--json", encoding=encoding)
    assert json.loads(said.stdout)[0]["name"] == "名前"
    shown = forked("customer", "list", encoding=encoding)
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert b"toko_??" in shown.stdout


def test_a_dry_run_through_a_pipe_writes_nothing(
    engine: Engine, forked: Callable[..., Any], tmp_path: Path
) -> None:
    """It is read once, and counted as a file would be."""
    with piped(b"id,name\nA,Ayu\nA,Ayu\n") as given:
        done = forked("import", "customers", "-", "--dry-run", given=given, folder=tmp_path)
    assert done.stdout == b"1 would be added, 1 known already\n"
    assert (done.returncode, done.stderr) == (0, b"")
    assert engine.counts()["customers"] == 0
