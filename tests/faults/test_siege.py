"""A minute of siege in every run of the tests.

The whole of it is `python -m tests.faults.siege`.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest

from billing.local.processes import family
from tests.faults.siege import verdict
from tests.faults.siege.people import AMOUNT, People
from tests.waits import Lines, wait_until

ROOT = Path(__file__).parents[2]
SHORT = [sys.executable, "-m", "tests.faults.siege", "--short"]


@pytest.fixture(autouse=True)
def _in_the_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """The siege is a module of the tests, so it is started where they are."""
    monkeypatch.chdir(ROOT)


@pytest.mark.timeout(300)  # 42 s on an idle machine, and its own bound is 240 s
def test_a_short_siege_is_held() -> None:
    """
    300 charges, 6 SIGKILLs, Redis flushed and killed, PostgreSQL crashed: no customer pays twice.

    Nothing is lost or left unresolved either; the verdict is read from the gateway's ledger.
    """
    done = subprocess.run(SHORT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "HELD" in done.stdout
    assert "6 SIGKILLs" in done.stdout
    payments = re.search(r"the ledger: (\d+) payments", done.stdout)
    assert payments is not None
    assert int(payments[1]) >= 290, "the few who left pay less"
    ended = re.search(r"(\d+) subscriptions ended .* (\d+) wallets linked anew", done.stdout)
    assert ended is not None
    assert int(ended[1]) + int(ended[2]) >= 1, done.stdout


@pytest.mark.tools
@pytest.mark.timeout(300)  # 9 s, and three bounds of which each says more
def test_a_siege_that_is_given_up_leaves_no_process() -> None:
    """Ctrl-C in the middle of it ends servers, gateway, workers and beats."""
    siege = subprocess.Popen(
        [*SHORT, "--charges", "60"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert siege.stdout is not None
    assert siege.stderr is not None
    with siege:
        said, complained = Lines(siege.stdout), Lines(siege.stderr)
        said.await_line(lambda line: "subscribers" in line, "the first month", 120)
        others = [process for process in family(siege.pid) if process.pid != siege.pid]
        assert len(others) > 8
        os.kill(siege.pid, signal.SIGINT)
        rest = said.await_end(60)
        complained.await_end(60)
        assert siege.wait(60) == 130
    assert any("every process is ended" in line for line in rest), complained
    wait_until(lambda: not any(map(psutil.Process.is_running, others)), "every process is gone")


def payment(who: str, period: int, attempt: int = 1, **fields: Any) -> dict[str, Any]:
    """A line of the gateway's ledger."""
    number = f"0000000000000000000000-{period}-{attempt}"
    made = {"kind": "payment", "customer_id": who, "number": number, "status": "SUCCESS"}
    return {**made, "moves": 1, "amount": AMOUNT, "refunded": 0, "code": None, **fields}


def complaints(people: People, ledger: list[dict[str, Any]]) -> list[str]:
    """What the verdict says of a ledger, after three months."""
    paid, ended = verdict.by_period(ledger, people), verdict.ended_by(ledger)
    found = [
        *verdict.doubles(paid), *verdict.lost(paid, people, 3, ended),
        *verdict.open_there(ledger), *verdict.refused(ledger, people),
        *verdict.refunds(ledger, paid, people),
    ]  # fmt: skip
    return [line.partition(" (")[0] for line in found]


@pytest.mark.tools
def test_the_verdict_sees_what_it_is_there_for() -> None:
    """A ledger that is right has no complaint; one wrong line in it has exactly one."""
    people = People(None, Random(1), ["stays", "leaves"])  # type: ignore[arg-type]  # asks nobody
    people.left_in["leaves"] = 1
    people.refunds["stays"] = 700
    back = {"kind": "refund", "customer_id": "leaves", "moves": 1, "amount": AMOUNT, "status": "ok",
            "code": None}  # fmt: skip
    some = {**back, "customer_id": "stays", "amount": 700}
    whole: dict[str, Any] = {"status": "REFUNDED", "refunded": AMOUNT}
    last = payment("leaves", 1, **whole)
    stays = [payment("stays", period) for period in range(3)]
    right = [*stays, payment("leaves", 0), last, back, some]
    assert complaints(people, right) == []

    twice, again = payment("stays", 1, moves=2), payment("stays", 1, attempt=2)
    for wrong, said in (
        ([*right[:1], twice, *right[2:]], "stays, period 1: debited 2 times"),
        ([*right, again], "stays, period 1: debited 2 times"),
        (right[1:], "stays: never debited for [0]"),
        ([*right, payment("stays", 3)], "stays: debited for [3], which were not to be billed"),
        (
            [*right, payment("stays", 2, attempt=2, status="PENDING", moves=0)],
            f"{again['number'].replace('-1-', '-2-')}: PENDING at the gateway",
        ),
        (right[:-1], "stays: got 0, was to get 700"),
        ([*right[:4], payment("leaves", 1), *right[6:]],
         "leaves: left in period 1, and did not get all of it back"),
        ([*right, back], f"leaves: got {2 * AMOUNT} for 1 payments"),
    ):  # fmt: skip
        assert complaints(people, wrong) == [said]


@pytest.mark.tools
def test_the_verdict_knows_whom_a_hard_decline_ended() -> None:
    """A delivered hard decline ends a customer's charges, a lost one does not; no other has one."""
    people = People(None, Random(1), ["ends", "stays"])  # type: ignore[arg-type]  # asks nobody
    people.refused, people.dormant = ["ends"], ["stays"]
    lost: dict[str, Any] = {"status": "FAILED", "moves": 0}
    hard = payment("ends", 1, code="suspected_fraud", **lost)
    dead = payment("stays", 1, code="dormant_account", **lost)
    stays = [payment("stays", 0), dead, payment("stays", 1, 2), payment("stays", 2)]
    right = [*stays, payment("ends", 0), hard]
    assert complaints(people, right) == []
    went_on = [payment("ends", 1, attempt=2), payment("ends", 2)]
    assert complaints(people, [*right, *went_on]) == []

    for wrong, said in (
        ([*right, went_on[1]], "ends: never debited for [1]"),
        ([*stays, hard], "ends: never debited for [0]"),
        ([*right, {**went_on[0], **lost}], "ends: never debited for [1, 2]"),
        ([went_on[1], *right], "ends: debited for [2], which were not to be billed"),
        ([*right, payment("stays", 3, code="dormant_account", **lost)],
         "stays: dormant_account 2 times"),
        ([*right[:3], payment("stays", 2, code="suspected_fraud", **lost), *right[3:]],
         "stays: suspected_fraud 1 times"),
    ):  # fmt: skip
        assert complaints(people, wrong) == [said]
