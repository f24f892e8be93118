"""The form of answers: JSON for programs, tables for people, neither cut nor coloured in pipes."""

import json
import sys
from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from billing.cli import output

ID = UUID("0b1f2a46-6c6c-5387-b249-6df627cf0474")
JAKARTA = ZoneInfo("Asia/Jakarta")
AT = datetime(2026, 1, 31, 2, tzinfo=UTC).astimezone(JAKARTA)
ROW = {
    "id": ID, "status": "paid", "amount": 12_500, "period_index": 12_500, "paid_at": AT,
    "reason": None, "surplus": False,
}  # fmt: skip


def test_json_is_one_document_with_iso_instants_and_whole_rupiah(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Amounts stay integers, instants are in UTC with their offset, ids are text."""
    output.answer([ROW], as_json=True, people=lambda: None)
    assert json.loads(capsys.readouterr().out) == [
        ROW | {"id": str(ID), "paid_at": "2026-01-31T02:00:00+00:00"}
    ]


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("amount", 12_500, "Rp 12,500"),
        ("period_index", 12_500, "12500"),
        ("paid_at", AT, "2026-01-31 09:00:00+07:00"),
        ("paid_at", AT.replace(second=5), "2026-01-31 09:00:05+07:00"),
        ("reason", None, "–"),
        ("surplus", False, "no"),
        ("data", {"amount": 5, "why": "x"}, "amount=Rp 5 why=x"),
    ],
)
def test_values_are_written_for_people(key: str, value: object, text: str) -> None:
    """Money with its currency, instants with their offset, nothing as a dash."""
    assert output.written(key, value) == text


def test_a_sentence_is_wrapped_below_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Marks and names stand in columns; no line is wider than the terminal."""
    monkeypatch.setenv("COLUMNS", "40")
    output.marked(
        [("wrong", "workers", "no tick has run yet; start one"), ("ok", "Redis", "answers")]
    )
    assert capsys.readouterr().out.splitlines() == [
        "wrong  workers  no tick has run yet;",
        "                start one",
        "ok     Redis    answers",
    ]


def test_a_pipe_gets_no_colour_and_nothing_cut(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With any terminal settings a file is plain text with whole lines."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "20")
    long = ROW | {"reason": "because " * 30}
    output.table([long], tuple(long), empty="nothing")
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert str(ID) in printed
    assert ("because " * 30).strip() in printed


@pytest.mark.parametrize("columns", [40, 60, 200])
def test_a_terminal_shows_ids_whole(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row that does not fit becomes a block of lines: an id has to be copied."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")  # of a dumb one Rich knows no width
    second = ROW | {"id": UUID(int=7)}
    output.table([ROW, second], tuple(ROW), empty="nothing")
    printed = capsys.readouterr().out
    assert str(ID) in printed
    assert str(UUID(int=7)) in printed
    assert "Rp 12,500" in printed


def test_an_empty_table_says_what_would_fill_it(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty list names the next command."""
    output.table([], ("id",), empty="no plans yet; create one: billing plan create")
    assert capsys.readouterr().out == "no plans yet; create one: billing plan create\n"


def test_a_terminal_obeys_nothing_that_it_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names, reasons and the gateway's messages stay in their cell in every form of output."""
    evil = "\x1b[2J\x9b1m\u202ex\nrefunded"
    row = {"name": evil, "reason": evil, "data": {evil: [evil]}}
    for columns in (200, 20):
        monkeypatch.setattr(output, "WIDE", columns)
        output.table([row], tuple(row), empty="")
        output.facts(row, tuple(row))
    output.say(evil.replace("\n", ""))

    said = capsys.readouterr().out
    assert not {"\x1b", "\x9b", "\u202e"} & set(said)
    assert not any(line.startswith("refunded") for line in said.splitlines())


def test_json_is_escaped_as_json_is(capsys: pytest.CaptureFixture[str]) -> None:
    """A program reads back what is there, and a terminal sees ASCII."""
    evil = {"name": "\x1b[2J\x9b\u202e"}
    output.answer(evil, as_json=True, people=lambda: None)

    said = capsys.readouterr().out
    assert said.isascii()
    assert "\x1b" not in said
    assert json.loads(said) == evil


def test_an_instant_in_an_events_data_is_read_like_any_other() -> None:
    """Events keep UTC; a person reads local time, and only where the key says it is an instant."""
    data = {"due_at": "2026-12-01T02:00:00.957949+00:00", "why": "2026-12-01T02:00:00+00:00"}
    told = output.written("data", data)
    assert told == "due_at=2026-12-01 09:00:00+07:00 why=2026-12-01T02:00:00+00:00"


@pytest.mark.parametrize(("columns", "lines"), [("", 3), ("200", 3), ("20", 7), ("x", 3), ("0", 3)])
def test_a_pipe_is_as_wide_as_columns_says(
    columns: str, lines: int,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A table that does not fit becomes a block for each row; nothing is cut."""
    monkeypatch.setenv("COLUMNS", columns)
    output.table([ROW], tuple(ROW), empty="nothing")
    printed = capsys.readouterr().out
    assert str(ID) in printed
    assert len(printed.splitlines()) == lines
