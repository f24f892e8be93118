"""The page of intents, made from the table in the code.

Write it again with `python -m tests.house.intents_page > docs/intents.md`.
"""

import sys

from billing.domain.intents import PAIRS, TABLE, Action, Cell, Intent, Target, Verdict

HEAD = """# Intents

An intent is something planned for a subscription: a cancellation, a pause, the return from a pause,
a change, or the end of a coupon. Each is stored on the subscription with its date and, when it was
made for a period's end, with that period. An intent ends in one of two ways: it takes effect as of
its own date, however late the tick is, or an event says why it did not
(`subscription.cancel_dropped`, `subscription.change_withdrawn` …).

The table says what each action does to each intent. It is the code's own
(`billing/domain/intents.py`); `python -m tests.house.intents_page > docs/intents.md` writes this
page.

- **keep**: it stays as it is.
- **move**: it takes effect at another date or with other content; when that is a difference, an
  event (`subscription.cancel_moved`) tells.
- **drop**: it ends with an event that has the reason.
- **fulfil**: it takes effect; the event of the effect tells.
- **refuse**: the action is refused with one line that says what to do first.

"""
TARGETS = {
    Target.NEXT_START: "to the start of the next period",
    Target.NEXT_END: "to the end of the new period",
    Target.CARRIED: "what it does not name follows the change; dropped when nothing is left of it",
}
TOGETHER = """
## Intents that are pending together

This table says how two of them stand to each other; it is decided after every action that plans
one or moves them.

- **never both**: the new one replaces the other.
- **each by itself**: they do not concern each other.
- **in the order of their dates**: of one instant, the end goes first.
- **no end inside the first period**: a change to other due dates begins a period that is paid and
  had in full. An end on a date inside of it is refused, whichever of both is planned first; an end
  for a period's end moves to the end of that period. A return that comes by itself drops the
  change instead. A change for the same instant as the end, or a later one, never takes effect; a
  resumption from now drops it.

"""
FOOT = """
An action that comes while something planned is overdue (a late tick) is refused until that is
done. Only a cancellation goes on: an end that is overdue takes effect first, as of its own date
and with its own refund, and the new one has nothing left to cancel.

## Periods that are not billed

Every period that is not billed has an event `period.skipped` with its reason in `why`: `paused`
(it began during a pause), `unpaid` (it began while the subscription was unpaid), `latest` (the plan
bills the latest period only, and this one went by in an outage), `canceled` (it had begun, was not
opened yet, and the subscription was cancelled), `held` (it had begun, could not be opened since the
subscription was held, and then dunning gave up). A trial has no periods.

A pause that ends exactly on a due date leaves nothing out: that period opens. A pause in a trial
keeps the days that are left; the first charge follows at their end. A period that is cut short by
a change of plan or by `resume --from now` gives its unused days back as credit, as far as they were
paid.
"""


def page() -> str:
    """The whole page."""
    intents = list(Intent)
    lines = [
        "| | " + " | ".join(intents) + " |",
        "|---" * (len(intents) + 1) + "|",
        *(_line(action) for action in Action),
    ]
    pairs = [*lines[:2], *(_pairs(intent) for intent in Intent)]
    return HEAD + "\n".join(lines) + "\n" + TOGETHER + "\n".join(pairs) + "\n" + FOOT


def _pairs(intent: Intent) -> str:
    cells = (PAIRS[frozenset((intent, other))] for other in Intent)
    return f"| {intent} | " + " | ".join(cells) + " |"


def _line(action: Action) -> str:
    cells = (_written(TABLE[action][intent]) for intent in Intent)
    return f"| {action} | " + " | ".join(cells) + " |"


def _written(cell: Cell) -> str:
    match cell.verdict:
        case Verdict.DROP:
            return f"drop: {cell.why}"
        case Verdict.MOVE if cell.target is not None:
            return f"move: {TARGETS[cell.target]}"
        case Verdict.REFUSE if cell.unless_earlier:
            return "refuse, unless it comes later"
        case verdict:
            return str(verdict)


if __name__ == "__main__":
    sys.stdout.write(page())
