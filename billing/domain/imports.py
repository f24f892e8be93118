"""Import decisions: what becomes of a row of an import, given what is known already.

A row with a known id and equal content is a repeat; with other content it is rejected. A token
belongs to one wallet. This module does not know files or the database: the caller passes the known
rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from billing.domain.wallet import LIVE, WalletStatus


class Incoming(NamedTuple):
    """A row that is valid by itself and could be written."""

    line: int
    id: str
    """The customer's id, or the subscription's reference."""
    content: dict[str, str]
    """What a repeat must contain again; the names of columns that differ are reported."""
    customer: str = ""
    token_hashes: Sequence[bytes] = ()
    """The token's hash under each key, the newest first; empty without a token."""
    objection: str = ""
    """Why the row must not be added; a repeat of a row that was added in time is still accepted."""


class Holder(NamedTuple):
    """A wallet that has a token, had it, or waits for one."""

    customer: str
    status: WalletStatus
    token_hash: bytes | None


@dataclass(frozen=True, slots=True)
class Known:
    """The rows and wallets that exist already, including earlier rows of the file."""

    contents: dict[str, dict[str, str]] = field(default_factory=dict)
    tokens: dict[bytes, Holder] = field(default_factory=dict)
    live: dict[str, Holder] = field(default_factory=dict)
    """Each customer's pending, active or unlinking wallet."""
    erased: set[str] = field(default_factory=set)
    """Customers that were erased, or will be: nothing of them is added again."""

    def note(self, wallet: Holder) -> None:
        """Add a wallet; of several with one token, the live one counts."""
        is_live = wallet.status in LIVE
        if is_live:
            self.live[wallet.customer] = wallet
        if wallet.token_hash is not None and (is_live or wallet.token_hash not in self.tokens):
            self.tokens[wallet.token_hash] = wallet


class Fate(StrEnum):
    """What a row becomes."""

    ADDED = "added"
    LINKED = "linked"
    """Added, with a wallet of its own."""
    THERE = "there"
    REJECTED = "rejected"


class Verdict(NamedTuple):
    """What a row becomes, and the reason when it is rejected."""

    fate: Fate
    reason: str = ""


def sort_out(rows: Sequence[Incoming], known: Known) -> list[Verdict]:
    """Decide about each row in order, and add what will be written to `known`."""
    return [_decided(row, known) for row in rows]


def _decided(row: Incoming, known: Known) -> Verdict:
    earlier = known.contents.get(row.id)
    person = row.customer or row.id
    # A subscription that is there stays there; a customer's row would bring the name back.
    if person in known.erased and (earlier is None or not row.customer):
        return _rejected(f"customer {person!r} was erased; use another id")
    if earlier is not None:
        return _repeated(row, earlier, known)
    if row.objection:
        return _rejected(row.objection)
    verdict = Verdict(Fate.ADDED)
    if row.token_hashes:
        verdict = _with_token(row, known)
    if verdict.fate is not Fate.REJECTED:
        known.contents[row.id] = row.content
    if verdict.fate is Fate.LINKED:
        known.note(Holder(row.customer, WalletStatus.ACTIVE, row.token_hashes[0]))
    return verdict


def _repeated(row: Incoming, earlier: dict[str, str], known: Known) -> Verdict:
    # An upgrade filled in only what was recorded of earlier imports: other columns are not
    # compared.
    other = [name for name, value in row.content.items() if earlier.get(name, value) != value]
    if not other and row.token_hashes and "token" in earlier:
        holder = _holder(row, known)
        other = [] if holder is not None and holder.customer == row.customer else ["token"]
    if not other:
        return Verdict(Fate.THERE)
    return _rejected(f"id {row.id!r} exists already with another {' and '.join(other)}")


def _with_token(row: Incoming, known: Known) -> Verdict:
    holder, live = _holder(row, known), known.live.get(row.customer)
    if holder is not None and holder.customer != row.customer:
        return _rejected(f"the token already belongs to customer {holder.customer!r}")
    if live is None:
        if holder is not None:
            return _rejected(f"the token was of a wallet that is {holder.status}; leave it out")
        return Verdict(Fate.LINKED)
    if live.status is WalletStatus.PENDING:
        return _rejected(f"customer {row.customer!r} has a link that is still open")
    if live.token_hash is None or live.token_hash not in row.token_hashes:
        return _rejected(f"customer {row.customer!r} has a wallet with another token")
    if live.status is not WalletStatus.ACTIVE:
        return _rejected(f"the token is of a wallet that is {live.status}; leave it out")
    return Verdict(Fate.ADDED)


def _holder(row: Incoming, known: Known) -> Holder | None:
    held = (known.tokens.get(token_hash) for token_hash in row.token_hashes)
    return next((holder for holder in held if holder is not None), None)


def _rejected(reason: str) -> Verdict:
    return Verdict(Fate.REJECTED, reason)
