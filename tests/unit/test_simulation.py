"""Policies on simulated wallets: read, run with the engine's decisions, compared, drawn."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from time import process_time

import pytest

from billing import cli
from billing.config import Settings
from billing.domain.dunning import Policy
from billing.domain.errors import InvalidValue
from billing.domain.outcomes import Fault
from billing.simulation import chart, comparing, contenders, playing, wallets
from billing.simulation.contenders import Contender
from billing.simulation.wallets import BEGIN, COLUMNS, Life, Profile, SimulatedWallet

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
DUE = BEGIN + 9 * HOUR
EMPTY = Profile(
    amount=50_000, due_day=1, opening=0, payday=0, income=0, top_ups=0, top_up=0, spending=0,
    limited=0,
)  # fmt: skip
STEPS = ("2d", "5d", "7d", "7d")
AWARE, BLIND = Contender("aware", Policy(STEPS), True), Contender("blind", Policy(STEPS), False)


class Scripted(Life):
    """A life of which everything is known: movements by day and hour, and days at a limit."""

    def __init__(
        self, moves: Sequence[tuple[float, int]] = (), limited: Sequence[int] = (), **changes: int
    ) -> None:
        values = {name: getattr(EMPTY, name) for name in COLUMNS} | changes
        super().__init__(Profile(**values), Random(0))
        self.reach(100 * wallets.DAY_MINUTES)
        self.movements = [(int(day * wallets.DAY_MINUTES), amount) for day, amount in moves]
        self.limited = [day in limited for day in range(101)]


def played(contender: Contender, life: Life, dates: Sequence[datetime] = (DUE,)) -> playing.Played:
    """Play one customer."""
    return playing.play(contender, life, dates)


def test_a_policy_is_a_name_steps_and_what_follows_between_bars() -> None:
    """Steps of fault classes and caps are written as a plan's; `blind` checks no balance."""
    [one] = contenders.read(
        ["pay day: 2d; 0 10 25 * * | limit=1d 1d | max-days=30|max-attempts=9 | blind"]
    )

    assert one == Contender(
        "pay day",
        Policy(("2d", "0 10 25 * *"), {Fault.LIMIT: ("1d", "1d")}, None, 9, 30),
        is_aware=False,
    )


def test_the_defaults_are_the_engines_steps_with_and_without_a_look() -> None:
    """Day 2, 7, 14 and 21, once aware of the balance and once not."""
    aware, fixed = contenders.read(contenders.DEFAULT)

    assert aware.policy == fixed.policy == Policy(STEPS)
    assert (aware.is_aware, fixed.is_aware) == (True, False)


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("2d 5d", "a policy must be"),
        (": 2d", "a policy must be"),
        ("x" * 41 + ": 2d", "a policy must be"),
        ("a: 2 quarks", '"2"'),
        ("a: 2d | blnd", 'did you mean "blind"'),
        ("a: 2d | hard=1d", '"hard" is no part of a policy'),
        ("a: 2d | limit=soon", "retries for limit"),
        ("a: 2d | max-days=0", "max days must be 1 to 1,000"),
        ("a: 2d | max-days=ten", "max-days must be a whole number"),
        ("a: 2d | max-days", "is no part of a policy"),
    ],
)
def test_an_invalid_policy_is_refused_in_one_line(text: str, about: str) -> None:
    """The line names the policy and what is wrong with it."""
    with pytest.raises(InvalidValue) as refused:
        contenders.read([text])

    assert about in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_policies_have_names_of_their_own_and_are_few() -> None:
    """Two of one name could not be told apart in the table."""
    with pytest.raises(InvalidValue, match="two policies are called"):
        contenders.read(["a: 2d", "a: 3d"])
    with pytest.raises(InvalidValue, match="at most 8"):
        contenders.read([f"{number}: 2d" for number in range(9)])


def test_wallets_come_from_a_file_with_its_columns_in_any_order() -> None:
    """Blanks around names and numbers do not matter."""
    names = list(reversed(COLUMNS))
    values = [str(getattr(EMPTY, name)) for name in names]

    assert wallets.read([" , ".join(names), ", ".join(values)]) == [EMPTY]


@pytest.mark.parametrize(
    ("change", "about"),
    [
        ({"amount": "0"}, "line 2: amount must be a whole number from 1 to"),
        ({"due_day": "32"}, "due_day must be a whole number from 1 to 31"),
        ({"opening": "12.5"}, "opening must be"),
        ({"payday": "-1"}, "payday must be a whole number from 0 to 31"),
        ({"limited": "101"}, "from 0 to 100"),
        ({"income": "9" * 400}, "income must be"),
        ({"top_up": ""}, "top_up must be"),
        ({"spending": "1,2"}, "line 2: more cells than columns"),
    ],
)
def test_a_wallet_that_makes_no_sense_is_refused_with_its_line(
    change: dict[str, str], about: str
) -> None:
    """An incomplete file is not simulated."""
    cells = {name: str(getattr(EMPTY, name)) for name in COLUMNS} | change

    with pytest.raises(InvalidValue) as refused:
        wallets.read([",".join(cells), ",".join(cells.values())])

    assert about in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("lines", [[], ["amount,due_day"], ["a;b;c", "1;2;3"]])
def test_a_wrong_header_is_answered_with_the_right_one(lines: list[str]) -> None:
    """The columns can be copied from the refusal."""
    with pytest.raises(InvalidValue, match="amount,due_day,opening,payday"):
        wallets.read(lines)


def test_a_header_without_wallets_is_refused() -> None:
    """There would be nothing to compare."""
    with pytest.raises(InvalidValue, match="no wallet"):
        wallets.read([",".join(COLUMNS)])


def test_a_wallet_never_goes_below_nought_and_lives_alike_for_everybody() -> None:
    """Purchases that it cannot pay are not made; the times of reading change nothing."""
    rng = Random("1/7")
    life = Life(wallets.drawn(rng), rng)
    often, seldom = SimulatedWallet(life), SimulatedWallet(life)
    for hours in range(0, 90 * 24, 5):
        often.live_until(BEGIN + hours * HOUR)
        assert often.cash >= 0
    seldom.live_until(BEGIN + hours * HOUR)

    assert seldom.cash == often.cash
    assert all(earlier <= later for earlier, later in pairwise(m[0] for m in life.movements))


def test_a_wallet_with_money_is_charged_once_and_never_asked() -> None:
    """The first charge of an invoice has no balance check."""
    [invoice] = played(AWARE, Scripted(opening=50_000)).invoices

    assert (invoice.paid_at, invoice.charges, invoice.asks) == (DUE, 1, 0)


def test_an_empty_wallet_is_charged_once_by_who_looks_and_five_times_by_who_does_not() -> None:
    """Given up as in the engine; the customer is lost with all open invoices."""
    for contender, charges in ((AWARE, 1), (BLIND, 5)):
        end = played(contender, Scripted(), [DUE, DUE + 14 * DAY, DUE + 40 * DAY])
        assert end.is_lost
        assert [invoice.charges for invoice in end.invoices] == [charges, 0]
        assert [invoice.paid_at for invoice in end.invoices] == [None, None]


def test_a_top_up_is_found_by_looking_and_waited_past_by_dates() -> None:
    """Fifty thousand on day 3, gone on day 6: one is paid on day 3, the other never."""
    moves = [(3.5, 50_000), (6.0, -50_000)]

    [seen] = played(AWARE, Scripted(moves)).invoices
    [missed] = played(BLIND, Scripted(moves)).invoices
    assert (seen.paid_at, seen.charges) == (DUE + 3.25 * DAY, 2)
    assert (missed.paid_at, missed.charges) == (None, 5)


def test_a_limit_is_no_want_of_money_and_climbs_its_own_ladder() -> None:
    """The balance suffices and the charge is declined: a step of the limit's steps is used."""
    policy = Policy(STEPS, {Fault.LIMIT: ("1d", "1d")})
    life = Scripted(opening=50_000, limited=[0, 1])

    [invoice] = played(Contender("c", policy, True), life).invoices
    assert (invoice.paid_at, invoice.charges, invoice.asks) == (DUE + 2 * DAY, 3, 2)


def test_caps_end_it_here_as_well() -> None:
    """Two attempts, and the customer is lost."""
    end = played(Contender("c", Policy(STEPS, attempts_max=2), False), Scripted())

    assert (end.is_lost, end.invoices[0].charges) == (True, 2)


def test_the_next_invoice_follows_at_once_when_the_oldest_is_paid() -> None:
    """One at a time, oldest first; both are paid at the check after the money came."""
    end = played(AWARE, Scripted([(16.0, 100_000)]), [DUE, DUE + 10 * DAY])

    assert [invoice.paid_at for invoice in end.invoices] == [DUE + 15.75 * DAY] * 2


def test_a_short_wallet_is_asked_as_often_as_the_setting_says_by_default() -> None:
    """The simulation has no settings; it does what the engine does by default."""
    default = Settings.model_fields["balance_recheck_seconds"].default

    assert timedelta(seconds=default) == playing.RECHECK


def scored(count: int, seed: int, months: int = 6) -> list[comparing.Figures]:
    """The figures of the default policies on a small population."""
    scores = [comparing.Score(one) for one in contenders.read(contenders.DEFAULT)]
    assert list(comparing.compare(scores, comparing.population(count, seed), months)) == [
        *range(1, count + 1)
    ]
    return [score.figures() for score in scores]


def test_the_same_seed_gives_the_same_figures() -> None:
    """The same seed gives the same wallets with any other policies; another seed gives others."""
    assert scored(30, 1) == scored(30, 1)
    assert scored(30, 1) != scored(30, 2)


def test_ten_thousand_wallets_take_less_than_a_minute() -> None:
    """On one core, by its own clock, so that a busy machine does not matter: here a twentieth."""
    begin = process_time()
    scored(500, 1, months=12)

    assert process_time() - begin < 60 / 20


def test_figures_count_failed_invoices_and_what_came_back() -> None:
    """Two customers: one pays on day 3.25 after two charges, one is lost after one."""
    score = comparing.Score(AWARE)
    lives = [Scripted([(3.5, 50_000)]), Scripted(amount=30_000), Scripted(opening=90_000)]

    for _ in comparing.compare([score], lives, 1):
        pass

    assert score.figures()._asdict() == {
        "policy": "aware", "invoices_failed": 2, "invoices_recovered": 1,
        "amount_failed": 80_000, "amount_recovered": 50_000, "share_recovered": 0.625,
        "charges_per_recovered": 3.0, "balance_questions": 6 + 81, "days_median": 3.25,
        "days_p90": 3.25, "customers_lost": 1, "amount_collected": 100_000,
    }  # fmt: skip
    assert score.curve()[:5] == [0, 0, 0, 0, 62.5]


def test_nothing_recovered_has_no_median() -> None:
    """A share of zero is None, and not a division by zero."""
    figures = comparing.Score(AWARE).figures()

    assert (figures.share_recovered, figures.days_median, figures.days_p90) == (None, None, None)


def test_the_chart_is_a_small_picture_or_one_page(tmp_path: Path) -> None:
    """A PNG for a page, an HTML page with the picture inside it."""
    scores = [comparing.Score(Contender("a $ <b>", Policy(STEPS), True)), comparing.Score(BLIND)]
    for life in (Scripted([(3.5, 50_000)]), Scripted()):
        for _ in comparing.compare(scores, [life], 1):
            pass
    for name in ("chart.png", "chart.html"):
        chart.check(tmp_path / name)
        chart.draw(tmp_path / name, scores, "2 wallets & more")

    png = (tmp_path / "chart.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    assert len(png) < 60_000
    page = (tmp_path / "chart.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "<title>2 wallets &amp; more</title>" in page
    assert page.count("<svg") == 1


def run(*words: object, capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    """Run the command; what it printed for its reader."""
    assert cli.run(["simulate", "dunning", *map(str, words)]) == code
    printed = capsys.readouterr()
    return printed.err if code else printed.out


def test_the_command_prints_a_table_or_a_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file of wallets, policies by name, a chart; no database is asked for."""
    file, picture = tmp_path / "wallets.csv", tmp_path / "chart.png"
    line = ",".join(str(getattr(EMPTY, name)) for name in COLUMNS)
    file.write_text(f"{','.join(COLUMNS)}\n{line}\n{line}\n")
    words = ["--wallets", file, "--months", 1, "--policy", "once: ", "--policy", "twice: 1d|blind"]

    found = json.loads(run(*words, "--chart", picture, "--json", capsys=capsys))
    assert (found["wallets"], found["months"], found["seed"]) == (2, 1, 1)
    assert found["chart"] == str(picture)
    assert picture.exists()
    assert [one["customers_lost"] for one in found["policies"]] == [2, 2]
    table = run(*words, capsys=capsys)
    assert "once" in table
    assert "charges: sent for declined invoices" in table


@pytest.mark.parametrize(
    ("words", "about"),
    [
        (["--wallets", "0"], "--wallets must be a whole number from 1"),
        (["--wallets", "nowhere.csv"], "cannot read nowhere.csv"),
        (["--seed", "x"], "--seed must be a whole number"),
        (["--months", "61"], "--months must be a whole number from 1 to 60"),
        (["--policy", "2d"], "a policy must be"),
        (["--chart", "chart.jpg"], "--chart must be a .png or .html file"),
        (["--chart", "no/where/chart.png"], "there is no folder"),
    ],
)
def test_the_command_refuses_in_one_line(
    words: list[str], about: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is played."""
    said = run(*words, capsys=capsys, code=1)

    assert about in said
    assert said.count("\n") == 1


def test_a_file_that_is_no_text_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its name and what is wrong with it, in one line."""
    file = tmp_path / "wallets.csv"
    file.write_bytes(b"\xff\xfe\x00")

    assert "is not UTF-8" in run("--wallets", file, capsys=capsys, code=1)
    file.write_text("amount\n")
    assert f"{file}: the header must have" in run("--wallets", file, capsys=capsys, code=1)


def test_without_matplotlib_a_chart_is_refused_before_the_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table needs no such thing; the refusal says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)

    said = run("--chart", "chart.png", "--wallets", 5, capsys=capsys, code=1)
    assert "pip install 'ovo-billing[local]'" in said
    assert "policy" in run("--wallets", 2, "--months", 1, capsys=capsys)
