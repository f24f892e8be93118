"""`billing simulate`: compare dunning policies on simulated wallets."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from billing.cli import arguments, options, output
from billing.domain.errors import InvalidValue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from billing.simulation.comparing import Figures
    from billing.simulation.wallets import Life

app = options.noun("Simulations: dunning policies on simulated wallets; no database, no gateway.")
WALLETS_MAX, MONTHS_MAX, SEED_MAX = 1_000_000, 60, 10**9
COLUMNS = ("policy", "recovered", "share", "charges", "median", "p90", "lost")
LEGEND = (
    "charges: sent for declined invoices, per recovered invoice\n"
    "median, p90: days to recovery; lost: customers whose invoice stayed unpaid"
)


@app.command(
    epilog=options.example(
        "billing simulate dunning --wallets 10000 --chart dunning.png",
        'billing simulate dunning --policy "days: 2d 5d 7d 7d" --policy "payday: 2d; 0 10 25 * *"',
    )
)
def dunning(
    policies: Annotated[
        list[str] | None,
        typer.Option(
            "--policy",
            metavar="NAME:STEPS",
            help='"payday: 2d; 0 10 25 * * | limit=1d 1d | max-days=30"; "| blind" charges'
            " on each date without checking the balance; repeatable.",
        ),
    ] = None,
    wallets: Annotated[
        str,
        typer.Option(
            "--wallets", metavar="FILE|N", help="CSV file of wallets, or a number of wallets."
        ),
    ] = "10000",
    seed: Annotated[
        str,
        typer.Option(
            "--seed", metavar="S", help="Random seed; the same seed gives the same result."
        ),
    ] = "1",
    months: Annotated[
        str, typer.Option("--months", metavar="N", help="Number of monthly charges per wallet.")
    ] = "12",
    chart: Annotated[
        Path | None,
        typer.Option("--chart", metavar="FILE", help="Write a chart to this .png or .html file."),
    ] = None,
    *,
    as_json: options.Json = False,
) -> None:
    """Simulate dunning policies with the engine's own dunning code, and compare them."""
    number = arguments.whole(seed, "--seed", SEED_MAX)
    periods = arguments.whole(months, "--months", MONTHS_MAX)
    from billing.simulation import chart as charts
    from billing.simulation import comparing, contenders

    played = contenders.read(policies or contenders.DEFAULT)
    if chart is not None:
        charts.check(chart)
    count, lives = _lives(wallets, number)
    scores = [comparing.Score(contender) for contender in played]
    with output.progress("simulating", count, quiet=as_json) as advance:
        for done in comparing.compare(scores, lives, periods):
            advance(done)
    if chart is not None:
        charts.draw(chart, scores, f"{count:,} wallets, {periods} months, seed {number}")
    figures = [score.figures() for score in scores]
    found = {
        "wallets": count, "months": periods, "seed": number,
        "chart": None if chart is None else str(chart), "policies": figures,
    }  # fmt: skip

    def people() -> None:
        output.table([_people(one) for one in figures], COLUMNS, empty="")
        output.say(LEGEND)

    output.answer(found, as_json=as_json, people=people)


def _lives(wallets: str, seed: int) -> "tuple[int, Iterator[Life]]":
    from billing.simulation import comparing
    from billing.simulation.wallets import read

    if wallets.isascii() and wallets.isdigit():
        count = arguments.whole(wallets, "--wallets", WALLETS_MAX)
        return count, comparing.population(count, seed)
    if wallets.removeprefix("-").replace(".", "", 1).isdecimal():
        raise InvalidValue(f"--wallets must be a whole number above 0, or a file, not {wallets}")
    try:
        with Path(wallets).open(encoding="utf-8-sig", newline="") as lines:
            profiles = read(lines)
    except UnicodeDecodeError:
        raise InvalidValue(f"{wallets} is not UTF-8; save it as CSV UTF-8") from None
    except OSError as failed:
        raise InvalidValue(
            f"cannot read {wallets}: {failed.strerror}; --wallets is a CSV file or a number"
        ) from None
    except InvalidValue as wrong:
        raise InvalidValue(f"{wallets}: {wrong}") from None
    return len(profiles), comparing.inhabited(profiles, seed)


def _people(figures: "Figures") -> dict[str, object]:
    """Abbreviate the column names so that they fit a terminal."""
    share = figures.share_recovered
    return {
        "policy": figures.policy,
        "recovered": output.written("amount", figures.amount_recovered),
        "share": None if share is None else f"{100 * share:.1f} %",
        "charges": figures.charges_per_recovered,
        "median": figures.days_median,
        "p90": figures.days_p90,
        "lost": figures.customers_lost,
    }
