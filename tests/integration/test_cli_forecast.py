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


def test_a_span_that_is_wrong_is_refused(billing: Billing) -> None:
    """A list needs an end, and the end comes after the start."""
    assert "--until is missing" in billing("forecast", code=1)
    assert "after --from" in billing(
        "forecast", "--from", "2026-05-01", "--until", "2026-04-01", code=1
    )
