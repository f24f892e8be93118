"""Text from outside on a terminal: no control character in the rows takes effect."""

from tests.integration.command import Billing
from tests.integration.engine import Engine

EVIL = "\x1b[2J\x9b1m\u202ex"
ACTS = {"\x1b", "\x9b", "\u202e", "\x07"}


def test_no_command_lets_a_row_act_on_the_terminal(engine: Engine, billing: Billing) -> None:
    """A customer's name, a plan's, a reason, and what the gateway said of a charge."""
    customer, subscription = engine.begun(cash=0)
    engine.run()
    [invoice] = engine.invoices(subscription)
    engine.execute("UPDATE customers SET name = :evil", evil=EVIL)
    engine.execute("UPDATE plans SET name = :evil", evil=EVIL)
    engine.execute("UPDATE charges SET message = :evil, code = :evil", evil=EVIL)
    billing("invoice", "retry", invoice["id"], "--reason", f"they said {EVIL}\nand more")
    [charge] = [row["id"] for row in engine.charges(subscription)][:1]

    seen = 0
    for words in (
        ("customer", "list"), ("customer", "show", customer), ("plan", "list"),
        ("plan", "show", "P"), ("subscription", "list"), ("subscription", "show", subscription),
        ("invoice", "list"), ("invoice", "show", invoice["id"]),
        ("charge", "list"), ("charge", "show", charge),
        ("event", "list"), ("wallet", "list"), ("forecast", "--until", "2027-01-01T00:00"),
    ):  # fmt: skip
        said = billing(*words, people=True)
        assert not ACTS & set(said), words
        seen += r"\x1b[2J\x9b1m\u202ex" in said
    assert seen > 3


def test_a_refusal_repeats_nothing_that_acts(engine: Engine, billing: Billing) -> None:
    """What was typed or pasted is quoted, and stays one line."""
    refused = billing("customer", "show", EVIL, code=1)

    assert not ACTS & set(refused)
    assert r"\x1b[2J" in refused
