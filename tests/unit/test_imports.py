"""The result of an imported row: every pair of its values and the existing rows."""

import pytest

from billing.domain.imports import Fate, Holder, Incoming, Known, sort_out
from billing.domain.wallet import WalletStatus

TOKEN, OTHER = b"hash of a token", b"hash of another"
SAID = {"customer": "C1", "amount": "100", "token": "yes"}
S = WalletStatus


def row(line: int = 2, reference: str = "R1", customer: str = "C1", **said: str) -> Incoming:
    """A row with a token."""
    return Incoming(line, reference, SAID | said | {"customer": customer}, customer, (TOKEN,))


def known(*wallets: Holder, there: bool = False) -> Known:
    """These wallets, and perhaps the row itself."""
    found = Known({"R1": SAID} if there else {})
    for wallet in wallets:
        found.note(wallet)
    return found


@pytest.mark.parametrize(
    ("wallets", "fate", "reason"),
    [
        ((), Fate.LINKED, ""),
        ((Holder("C1", S.ACTIVE, TOKEN),), Fate.ADDED, ""),
        ((Holder("C1", S.ACTIVE, OTHER),), Fate.REJECTED, "a wallet with another token"),
        ((Holder("C1", S.ACTIVE, None),), Fate.REJECTED, "a wallet with another token"),
        ((Holder("C1", S.PENDING, None),), Fate.REJECTED, "a link that is still open"),
        ((Holder("C1", S.UNLINKING, TOKEN),), Fate.REJECTED, "a wallet that is unlinking"),
        ((Holder("C1", S.EXPIRED, TOKEN),), Fate.REJECTED, "a wallet that is expired"),
        ((Holder("C1", S.UNLINKED, TOKEN),), Fate.REJECTED, "a wallet that is unlinked"),
        ((Holder("C1", S.EXPIRED, OTHER),), Fate.LINKED, ""),
        ((Holder("C1", S.FAILED, None),), Fate.LINKED, ""),
        ((Holder("C2", S.ACTIVE, TOKEN),), Fate.REJECTED, "already belongs to customer 'C2'"),
        ((Holder("C2", S.EXPIRED, TOKEN),), Fate.REJECTED, "already belongs to customer 'C2'"),
        ((Holder("C2", S.ACTIVE, OTHER),), Fate.LINKED, ""),
        (
            (Holder("C1", S.ACTIVE, TOKEN), Holder("C2", S.UNLINKED, TOKEN)),
            Fate.ADDED,
            "",
        ),
    ],
)
def test_a_new_row_with_a_token_meets_the_wallets_that_are_known(
    wallets: tuple[Holder, ...], fate: Fate, reason: str
) -> None:
    """A token belongs to one wallet, and a customer has one live wallet."""
    [verdict] = sort_out([row()], known(*wallets))

    assert verdict.fate is fate
    assert reason in verdict.reason


@pytest.mark.parametrize(
    ("said", "wallets", "other"),
    [
        ({}, (Holder("C1", S.ACTIVE, TOKEN),), ""),
        ({}, (Holder("C1", S.UNLINKED, TOKEN), Holder("C1", S.ACTIVE, OTHER)), ""),
        ({"amount": "200"}, (Holder("C1", S.ACTIVE, TOKEN),), "amount"),
        ({"customer": "C2"}, (Holder("C1", S.ACTIVE, TOKEN),), "customer"),
        ({}, (Holder("C1", S.ACTIVE, OTHER),), "token"),
        ({}, (Holder("C2", S.ACTIVE, TOKEN), Holder("C1", S.ACTIVE, OTHER)), "token"),
    ],
)
def test_a_known_id_is_a_repeat_only_with_equal_content(
    said: dict[str, str], wallets: tuple[Holder, ...], other: str
) -> None:
    """The imported values are compared, after any later changes of subscription and wallet."""
    incoming = row(customer=said.pop("customer", "C1"), **said)
    [verdict] = sort_out([incoming], known(*wallets, there=True))

    assert verdict.fate is (Fate.REJECTED if other else Fate.THERE)
    assert verdict.reason == (f"id 'R1' exists already with another {other}" if other else "")


def test_an_import_from_before_the_upgrade_is_compared_as_far_as_it_is_known() -> None:
    """Of earlier rows the database knows the customer; the token's hash may be gone for good."""
    earlier = Known({"R1": {"customer": "C1"}})

    fates = [sort_out([each], earlier)[0].fate for each in (row(), row(customer="C2"))]

    assert fates == [Fate.THERE, Fate.REJECTED]


def test_an_objection_to_a_new_row_does_not_concern_its_repeat() -> None:
    """A row is added once and may be sent again a year later, when its token has long expired."""
    late = row()._replace(objection="the token has expired")

    assert sort_out([late], Known()) == [(Fate.REJECTED, "the token has expired")]
    assert sort_out([row(), late], Known())[1].fate is Fate.THERE


def test_rows_of_one_file_meet_each_other() -> None:
    """The first of equal rows counts; a rejected row does not affect a later one."""
    rows = [
        row(2, "R1", "C1"),
        row(3, "R1", "C1"),
        row(4, "R1", "C1", amount="7"),
        row(5, "R2", "C2"),  # the token is C1's
        Incoming(6, "R2", {"customer": "C2", "token": "yes"}, "C2", (OTHER,)),
        row(7, "R3", "C1"),  # a second subscription, the same token
        Incoming(8, "R4", {"customer": "C1", "token": "yes"}, "C1", (b"a third",)),
    ]

    fates = [verdict.fate for verdict in sort_out(rows, Known())]

    assert fates == [
        Fate.LINKED, Fate.THERE, Fate.REJECTED, Fate.REJECTED, Fate.LINKED, Fate.ADDED,
        Fate.REJECTED,
    ]  # fmt: skip


def test_a_token_is_known_under_an_earlier_key() -> None:
    """While keys rotate, a wallet's hash may be under either."""
    incoming = Incoming(2, "R1", SAID, "C1", (b"under the new key", TOKEN))

    assert sort_out([incoming], known(Holder("C1", S.ACTIVE, TOKEN)))[0].fate is Fate.ADDED
    assert sort_out([incoming], known(Holder("C2", S.ACTIVE, TOKEN)))[0].fate is Fate.REJECTED


@pytest.mark.parametrize(
    ("new", "there", "fate"),
    [
        (Incoming(2, "C1", {"name": "Ani"}), {}, Fate.REJECTED),
        (Incoming(2, "C1", {"name": "Ani"}), {"C1": {"name": ""}}, Fate.REJECTED),
        (row(), {}, Fate.REJECTED),
        (row(), {"R1": {}}, Fate.THERE),
        (row(customer="C2"), {}, Fate.LINKED),
        (Incoming(2, "C2", {"name": "Ani"}), {}, Fate.ADDED),
    ],
)
def test_nothing_of_an_erased_customer_is_added(
    new: Incoming, there: dict[str, dict[str, str]], fate: Fate
) -> None:
    """Neither the person nor a subscription; one that is there stays there, without its content."""
    [verdict] = sort_out([new], Known(there, erased={"C1"}))

    assert verdict.fate is fate
    assert ("was erased" in verdict.reason) == (fate is Fate.REJECTED)
