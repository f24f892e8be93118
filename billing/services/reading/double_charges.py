"""Double charges: say in one line whether a customer was charged twice.

There are two cases: one invoice was paid more than once, or two subscriptions to one plan were
charged for the same time. The rows are selected by other modules.
"""

from collections.abc import Sequence

from billing.domain.money import rupiah
from billing.store.queries.listing_rows import Payment, Totals
from billing.store.queries.twins import Twins

NO, YES = "charged twice: no", "charged twice: yes: "
WAS = "was charged twice; refunded in full: "


def verdict(totals: Totals, payments: Sequence[Payment], twins: Sequence[Twins]) -> str:
    """Say in one line whether the customer was charged twice."""
    sentences = [_paid_again(paid) for paid in payments if paid.payments_count > 1]
    sentences += [_both(each) for each in twins if each.periods_count]
    heading = WAS if refunded_in_full(totals, twins) else YES
    answer = heading + "; ".join(sentences) if sentences else NO
    waiting = [_live(each) for each in twins if not each.periods_count]
    if waiting:
        answer += f" (but {'; '.join(waiting)})"
    if totals.unresolved_count:
        answer += _unresolved(totals)
    if totals.unresolved_refunds_count:
        answer += f" (unresolved refunds: {totals.unresolved_refunds_count})"
    return answer


def only_unresolved(totals: Totals) -> str:
    """Return the line of who was not charged twice, and has unresolved charges and no more."""
    return f"{NO}{_unresolved(totals)}"


def _unresolved(totals: Totals) -> str:
    return f" (unresolved charges: {totals.unresolved_count})"


def refunded_in_full(totals: Totals, twins: Sequence[Twins]) -> bool:
    """Whether every double payment was refunded; refunds in progress do not count."""
    return not totals.kept_twice and not any(each.periods_kept_count for each in twins)


def _paid_again(paid: Payment) -> str:
    back = _back(paid.amount_refunded, paid.amount_refunding)
    return (
        f"invoice {paid.id} was paid {paid.payments_count} times,"
        f" {rupiah(paid.amount_taken)} in all; {back}"
    )


def _live(twins: Twins) -> str:
    ids = ", ".join(str(each) for each in twins.subscriptions)
    count = {2: "two"}.get(len(twins.subscriptions), str(len(twins.subscriptions)))
    live = "live subscriptions" if twins.live_count > 1 else "subscriptions"
    return f"{count} {live} to plan {twins.plan}: {ids}"


def _both(twins: Twins) -> str:
    periods = "1 period" if twins.periods_count == 1 else f"{twins.periods_count:,} periods"
    back = _back(twins.amount_refunded, twins.amount_refunding)
    return f"{_live(twins)}; charged for both: {periods}, {rupiah(twins.amount_taken)}; {back}"


def _back(refunded: int, on_its_way: int) -> str:
    text = f"refunded: {rupiah(refunded)}"
    return f"{text}, {rupiah(on_its_way)} on its way" if on_its_way else text
