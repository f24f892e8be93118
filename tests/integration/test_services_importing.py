"""Imports and existing rows: repeats, other content, and tokens of other customers."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from cryptography.fernet import Fernet

from billing.domain.errors import InvalidValue
from billing.domain.events import OPERATOR
from billing.sandbox.process import SandboxProcess
from billing.services.operating import importing
from billing.services.operating.importing import Report
from billing.services.subscriptions import changing, subscribing
from billing.services.wallets import linking, unlinking
from billing.store.vault import Vault
from tests.integration.engine import KEY, Engine, running
from tests.integration.kept import Kept

DAY = timedelta(days=1)
PEOPLE = ("A", "B", "C")
Cells = Mapping[str, str]


@pytest.fixture
def shop(engine: Engine) -> Engine:
    """Three customers and a plan; the gateway knows none of the tokens that come."""
    engine.audited = False
    engine.plan()
    for name in PEOPLE:
        subscribing.create_customer(engine.context, name, name=f"Name {name}", by=OPERATOR)
    return engine


def cells(reference: str, customer: str = "A", token: str = "", **more: str) -> Cells:
    """A subscription's row."""
    return {
        "id": reference, "customer": customer, "plan": "P", "anchor": "2026-01-31T09:00",
        "next_due_at": "2026-02-28T09:00", "token": token, **more,
    }  # fmt: skip


def bring(engine: Engine, *rows: Cells, dry_run: bool = False) -> Report:
    """Import subscriptions; the first row is on line 2."""
    lines = list(enumerate(rows, 2))
    [*_, report] = importing.subscriptions(engine.context, lines, OPERATOR, dry_run=dry_run)
    return report


def outcome(report: Report) -> tuple[int, int, Sequence[tuple[int, str]]]:
    """What is to be compared."""
    return report.added, report.there, sorted(report.bad)


def both(engine: Engine, *rows: Cells) -> tuple[int, int, Sequence[tuple[int, str]]]:
    """A dry run writes nothing and reports the same as the run after it."""
    before = engine.counts()
    dry = outcome(bring(engine, *rows, dry_run=True))
    assert engine.counts() == before
    assert outcome(bring(engine, *rows)) == dry
    return dry


def test_two_people_under_one_reference_are_not_one(shop: Engine) -> None:
    """The second is rejected with the line and the column, and is not reported as billed."""
    assert both(shop, cells("1", "A"), cells("1", "B")) == (
        1, 0, [(3, "id '1' exists already with another customer")],
    )  # fmt: skip
    assert both(shop, cells("1", "B")) == (
        0, 0, [(2, "id '1' exists already with another customer")],
    )  # fmt: skip
    assert shop.rows("SELECT customer_id FROM subscriptions") == [{"customer_id": "A"}]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("plan", "Q"), ("anchor", "2025-12-31T09:00"), ("next_due_at", "2026-03-31T09:00"),
        ("quantity", "2"), ("amount", "51000"), ("paid_before", "no"),
    ],
)  # fmt: skip
def test_a_row_that_differs_in_any_column_is_no_repeat(
    shop: Engine, column: str, value: str
) -> None:
    """A row that would be another subscription is not ignored silently."""
    shop.plan("Q")
    bring(shop, cells("1"))

    report = bring(shop, cells("1") | {column: value})

    assert (report.added, report.there) == (0, 0)
    [(line, reason)] = report.bad
    assert line == 2
    assert column in reason


def test_a_subscription_that_has_moved_on_is_still_there(shop: Engine) -> None:
    """Charged, changed and ended since; the file says what it said."""
    customer = shop.customer()
    rows = cells("1", customer), cells("2", customer)
    bring(shop, *rows)
    shop.plan("Q", amount=70_000)
    [first, _] = [row["subscription_id"] for row in shop.rows("SELECT * FROM imports")]
    shop.advance(30 * DAY)
    changing.change(shop.context, first, OPERATOR, plan_code="Q", quantity=3)
    shop.advance(40 * DAY)

    # The same instant in another zone, and what is the default anyway.
    again = (
        rows[0] | {"next_due_at": "2026-02-28T02:00:00Z"},
        rows[1] | {"quantity": "1", "amount": "50000", "paid_before": "YES"},
    )
    assert both(shop, *again) == (0, 2, [])


def test_a_token_that_has_expired_is_for_nobody_new(shop: Engine) -> None:
    """A repeated row counts as existing; a new row with an expired token is rejected."""
    bound = {"linked_at": "2025-06-01T00:00", "masked_phone": "081234567890"}
    assert both(shop, cells("1", "A", "t1", **bound))[0] == 1
    shop.set_clock(shop.now + 200 * DAY)

    assert both(shop, cells("1", "A", "t1", **bound), cells("2", "B", "t2", **bound)) == (
        0, 1, [(3, "the token of 2025-06-01T00:00 has expired; leave it out")],
    )  # fmt: skip


def test_a_customer_with_another_name_is_rejected(shop: Engine) -> None:
    """A token twice in a batch, in two batches, or in the database is reported without its text."""
    rows = [
        {"id": "D", "name": "Ani"},
        {"id": "D", "name": "Ani "},
        {"id": "D", "name": "Budi"},
        {"id": "A", "name": "Name A"},
        {"id": "A", "name": "Name B", "email": "b@b.example"},
    ]
    for dry_run in (True, False):
        lines = list(enumerate(rows, 2))
        [*_, report] = importing.customers(shop.context, lines, OPERATOR, dry_run=dry_run)
        assert outcome(report) == (1, 2, [
            (4, "id 'D' exists already with another name"),
            (6, "id 'A' exists already with another name and email"),
        ])  # fmt: skip
    assert shop.rows("SELECT name FROM customers WHERE id = 'D'") == [{"name": "Ani"}]


def test_rows_of_one_file_meet_each_other_in_two_batches(
    shop: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are found at any distance, also in a dry run, which has no rows to compare with."""
    monkeypatch.setattr(importing, "BATCH", 1)
    rows = (cells("1", "A", "t1"), cells("1", "A", "t1"), cells("1", "B"), cells("2", "B", "t1"),
            cells("3", "A", "t2"), cells("4", "A", "t1"))  # fmt: skip
    assert both(shop, *rows) == (2, 1, [
        (4, "id '1' exists already with another customer and token"),
        (5, "the token already belongs to customer 'A'"),
        (6, "customer 'A' has a wallet with another token"),
    ])  # fmt: skip
    assert [row["customer_id"] for row in shop.rows("SELECT * FROM wallets")] == ["A"]


def test_a_token_of_a_linked_wallet_is_known(shop: Engine) -> None:
    """A link through the gateway counts as an import does; so does a wallet that was unlinked."""
    linked, waiting = shop.customer(), shop.customer(linked=False)
    shop.bind(waiting)
    sealed = shop.wallets(linked)[0]["token_sealed"]
    token = shop.context.vault.open(sealed).decode()

    rows = (cells("1", "A", token), cells("2", linked, "another"), cells("3", linked, token),
            cells("4", waiting, "third"))  # fmt: skip
    assert both(shop, *rows) == (1, 0, [
        (2, f"the token already belongs to customer {linked!r}"),
        (3, f"customer {linked!r} has a wallet with another token"),
        (5, f"customer {waiting!r} has a link that is still open"),
    ])  # fmt: skip

    unlinking.unlink(shop.context, linked, OPERATOR)
    shop.run()
    assert [row["token_sealed"] for row in shop.wallets(linked)] == [None]
    assert both(shop, cells("1", "A", token), cells("3", linked, token)) == (
        0, 1, [(2, f"the token already belongs to customer {linked!r}")],
    )  # fmt: skip


def test_tokens_from_before_the_hashes_are_known(shop: Engine) -> None:
    """The first import after the upgrade hashes them, and repeats stay repeats."""
    rows = cells("1", "A", "t1"), cells("2", "B", "t2")
    bring(shop, *rows)
    shop.execute("UPDATE wallets SET token_hash = NULL")

    assert outcome(bring(shop, *rows, cells("3", "C", "t1"))) == (
        0, 2, [(4, "the token already belongs to customer 'A'")],
    )  # fmt: skip
    assert shop.one("SELECT count(token_hash) FROM wallets") == 2


def test_a_token_that_two_wallets_had_before_the_hashes_stops_nothing(shop: Engine) -> None:
    """Earlier imports gave it to both: one of them has the hash, and a third is rejected."""
    bring(shop, cells("1", "A", "t1"), cells("2", "B", "t2"))
    shop.execute("UPDATE wallets SET token_hash = NULL")
    shop.execute(
        "UPDATE wallets SET token_sealed = (SELECT token_sealed FROM wallets"
        " WHERE customer_id = 'A') WHERE customer_id = 'B'"
    )
    for _ in range(2):
        [(line, reason)] = bring(shop, cells("3", "C", "t1")).bad
        assert (line, "already belongs to" in reason) == (2, True)
        assert shop.one("SELECT count(token_hash) FROM wallets") == 1


def test_tokens_are_known_while_keys_rotate(
    emptied: Kept, gateway: SandboxProcess, shop: Engine
) -> None:
    """A new first key hashes again; the old one may be removed after all rows are done."""
    bring(shop, cells("1", "A", "t1"))
    new = Fernet.generate_key().decode()
    for key in (f"{new},{KEY}", f"{KEY},{new}", f"{new},{KEY}", f"{new},{KEY}"):
        with running(emptied, gateway, token_key=key) as rotated:
            rotated.audited = False
            report = bring(rotated, cells("2", "B", "t1"), cells("1", "A", "t1"))
            assert (report.added, report.there, len(report.bad)) == (0, 1, 1)
    [wallet] = shop.wallets("A")
    assert wallet["token_hash"] == Vault([new]).hashes(b"t1")[0]


def test_a_token_that_no_key_opens_stops_no_import(shop: Engine) -> None:
    """It stays without a hash; the others are hashed, and good rows come in."""
    bring(shop, cells("1", "A", "t1"), cells("2", "B", "t2"))
    shop.execute("UPDATE wallets SET token_hash = NULL")
    shop.execute("UPDATE wallets SET token_sealed = '\\x0100' WHERE customer_id = 'A'")

    assert bring(shop, cells("3", "C", "t3")).added == 1
    hashed = shop.rows("SELECT customer_id FROM wallets WHERE token_hash IS NOT NULL ORDER BY 1")
    assert [row["customer_id"] for row in hashed] == ["B", "C"]


def test_a_link_whose_token_another_customer_has_fails_and_says_so(engine: Engine) -> None:
    """An import gave this customer's token to another one: one wallet would pay for both."""
    engine.audited = False
    engine.plan()
    customer, other = engine.customer(linked=False), engine.customer(linked=False)
    engine.bind(customer)
    engine.gateway.control("POST", f"wallets/{customer}/confirm")
    [token] = engine.context.gateway.list_tokens(customer).tokens  # type: ignore[union-attr]
    assert bring(engine, cells("1", other, token.token)).added == 1

    linking.refresh(engine.context, customer)

    [wallet] = engine.wallets(customer)
    assert wallet["status"] == "failed"
    assert wallet["reason"] == (
        f"its token already belongs to customer {other!r}; unlink that wallet first"
    )


def test_two_imports_of_one_file_at_once_add_each_row_once(shop: Engine, other: Engine) -> None:
    """Rows that one import adds are found by the other, although both started without them."""
    rows = [cells(str(n), PEOPLE[n % 3], f"t{n % 3}") for n in range(60)]
    with ThreadPoolExecutor(2) as both_at_once:
        reports = list(both_at_once.map(lambda each: bring(each, *rows), (shop, other)))

    assert sum(report.added for report in reports) == 60
    assert sum(report.there for report in reports) == 60
    assert [report.bad for report in reports] == [[], []]
    assert shop.counts()["subscriptions"] == len(shop.told("subscription.imported")) == 60


def test_a_customer_who_appears_meanwhile_is_compared_again(
    shop: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row made by hand between check and write is a repeat, not an error and not a second row."""
    read, appeared = importing.statements.known_customers, iter([None])

    def found(*given: object) -> object:
        known = read(*given)  # type: ignore[arg-type]
        if given[1] and next(appeared, "never") is None:
            subscribing.create_customer(shop.context, "D", name="Dewi", by=OPERATOR)
        return known

    monkeypatch.setattr(importing.statements, "known_customers", found)
    lines = [(2, {"id": "D", "name": "Dewi"}), (3, {"id": "E", "name": "Eko"})]
    [*_, report] = importing.customers(shop.context, lines, OPERATOR)

    assert outcome(report) == (1, 1, [])
    assert shop.one("SELECT count(*) FROM customers WHERE id IN ('D', 'E')") == 2


def test_a_name_with_joiners_is_imported_and_charged(engine: Engine) -> None:
    """Persian and emoji reach the gateway as they are; what turns text around does not come in."""
    engine.plan()
    names = ["نیک\u200cآیین", "Ani \U0001f469\u200d\U0001f467", "Ani\u202egnp.exe", "Ani\x1b[2J"]
    ids = [f"{engine.customer(linked=False)}-{number}" for number in range(len(names))]
    lines = [
        (n, {"id": i, "name": name}) for n, (i, name) in enumerate(zip(ids, names, strict=True))
    ]

    [*_, report] = importing.customers(engine.context, lines, OPERATOR)

    assert outcome(report)[:2] == (2, 0)
    assert [line for line, _ in report.bad] == [2, 3]
    for customer in ids[:2]:
        engine.link(customer)
        engine.put_cash(customer, 1_000_000)
        engine.subscribe(customer)
    engine.run()
    assert [len(engine.debits(customer)) for customer in ids[:2]] == [1, 1]


@pytest.mark.parametrize("email", ["a@b\x1b[2J", "a@b\nc", "a@\u202eb"])
def test_an_address_has_no_control_characters(engine: Engine, email: str) -> None:
    """It is shown and sent as a name is."""
    with pytest.raises(InvalidValue, match="printable"):
        subscribing.create_customer(engine.context, "E", name="Eko", by=OPERATOR, email=email)


@pytest.mark.parametrize("written", ["081234567890", "+6281234567890", "0812-3456 7890"])
def test_a_phone_of_a_file_is_stored_like_every_other(engine: Engine, written: str) -> None:
    """
    In the form `62…`, as the commands and the HTTP interface store it.

    The same person in another spelling is a repeat, also one that was imported as it was written.
    """

    def people(phone: str) -> Report:
        rows = [(2, {"id": "A", "name": "Ani", "phone": phone})]
        [*_, report] = importing.customers(engine.context, rows, OPERATOR)
        return report

    assert outcome(people(written)) == (1, 0, [])
    assert engine.one("SELECT phone FROM customers") == "6281234567890"
    engine.execute("UPDATE customers SET phone = '081234567890'")
    for phone in (written, "6281234567890", "081234567890"):
        assert outcome(people(phone)) == (0, 1, [])
    other = people("6281234567891").bad
    assert [reason for _, reason in other] == ["id 'A' exists already with another phone"]
    assert outcome(people("+1 234"))[0] == 0


def test_a_masked_phone_of_a_file_has_the_last_digits(shop: Engine) -> None:
    """Separators between the digits are none of the four."""
    row = cells("1", token="t", masked_phone="0812-3456-78-90")
    assert both(shop, row) == (1, 0, [])
    assert shop.wallets("A")[0]["masked_phone"] == "****7890"
