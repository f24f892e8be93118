"""`billing forecast --by day`: rupiah and charges of each day, and those without a wallet apart."""

from collections import Counter

from tests.integration.command import Billing
from tests.integration.engine import Engine


def test_the_days_add_up_what_the_list_has(billing: Billing, engine: Engine) -> None:
    """Each day equals the lines of the forecast; what waits for a wallet is not in it."""
    engine.plan("W", amount=10_000, every="1 week")
    engine.plan("D", amount=1_000, every="1 day")
    for linked in (True, True, False):
        engine.subscribe(engine.customer(linked=linked), "W")
    engine.subscribe(engine.customer(), "D")
    engine.run()
    span = ("--from", "2026-02-03", "--until", "2026-03-01")

    lines = billing("forecast", *span)
    found = billing("forecast", *span, "--by", "day")

    made, waiting = Counter[str](), Counter[str]()
    for line in lines:
        assert line["due_at"] >= "2026-02-03"
        (waiting if line["needs_link"] else made)[line["due_at"][:10]] += line["amount"]
    assert {each["day"]: each["amount"] for each in found["days"] if each["amount"]} == made
    shown = {each["day"]: each["amount_waiting"] for each in found["days"]}
    assert {day: amount for day, amount in shown.items() if amount} == waiting
    assert found["total"]["amount"] == sum(made.values())
    assert sum(waiting.values()) == found["total"]["amount_waiting"]


def test_tomorrow_is_an_answer_of_its_own(billing: Billing, engine: Engine) -> None:
    """Without an end the forecast by day reaches 60 days."""
    engine.plan("D", amount=1_000, every="1 day")
    engine.subscribe(engine.customer(), "D")
    engine.run()

    said = billing("forecast", "--by", "day", people=True)

    assert "tomorrow (2026-02-01): 1 charges, Rp 1,000" in said
    assert "in all: 60 charges, Rp 60,000" in said


def test_no_day_is_cut_in_silence(billing: Billing, engine: Engine) -> None:
    """A date of --until is the whole day; of an instant it is said; tomorrow is whole."""
    engine.plan("H", amount=1_000, cron="0 */6 * * *")
    engine.subscribe(engine.customer(), "H")
    engine.run()

    def counted(*span: str) -> dict[str, int]:
        found = billing("forecast", "--by", "day", *span)
        assert found["tomorrow"]["charges_count"] == 4
        return {each["day"]: each["charges_count"] for each in found["days"]}

    whole = counted("--until", "2026-02-02")
    assert (whole["2026-02-01"], whole["2026-02-02"]) == (4, 4)
    assert counted("--from", "2026-02-02", "--until", "2026-02-02") == {"2026-02-02": 4}
    assert counted("--until", "2026-02-01T12:00")["2026-02-01"] < 4
    assert all(n == 4 for n in list(counted().values())[1:])

    def said(*span: str) -> str:
        return billing("forecast", "--by", "day", *span, people=True)

    assert "partly" not in said("--until", "2026-02-02")
    assert "partly" not in said()
    cut = said("--from", "2026-02-01T06:30", "--until", "2026-02-01T12:00")
    assert "2026-02-01 is added up partly, from 2026-02-01 06:30:00+07:00" in cut
    assert "2026-02-01 is added up partly, until 2026-02-01 12:00:00+07:00" in cut
    lines = billing("forecast", "--until", "2026-02-02")
    assert len(lines) == sum(whole.values())


def test_a_span_that_is_wrong_is_refused(billing: Billing) -> None:
    """A list needs an end, and the end comes after the start."""
    assert "--until is missing" in billing("forecast", code=1)
    assert "after --from" in billing(
        "forecast", "--from", "2026-05-01", "--until", "2026-04-01", code=1
    )
