"""The page of intents, made from the table in the code.

Write it again with `python -m tests.house.intents_page > docs/intents.md`.
"""

import sys

from billing.domain.intents import PAIRS, TABLE, Action, Cell, Intent, Target, Verdict

HEAD = """# Intents

An intent is planned for a subscription: a cancellation, a pause, a resumption, a change, or the end
of a coupon. It is stored on the subscription with its date and, when it was made for the end of a
period, with that period. An intent ends in one of two ways. Either it takes effect as of its own
date, even if the tick is late. Or an event says why it did not take effect
(`subscription.cancel_dropped`, `subscription.change_withdrawn` …).

The table says what each action does to each intent. It is generated from
`billing/domain/intents.py`. To renew this page:
`python -m tests.house.intents_page > docs/intents.md`.

- **keep**: the intent stays as it is.
- **move**: it takes effect on another date or with other terms; an event such as
  `subscription.cancel_moved` says so when this makes a difference.
- **drop**: it ends, and an event has the reason.
- **fulfil**: it takes effect, with the event of the effect.
- **refuse**: the action is refused with one line that says what to do first.

"""
TARGETS = {
    Target.NEXT_START: "to the start of the next period",
    Target.NEXT_END: "to the end of the new period",
    Target.CARRIED: "what it does not name follows the change; dropped when nothing is left of it",
}
TOGETHER = """
## Intents that are pending together

This table says what two pending intents mean for each other. It is checked after every action that
plans or moves an intent. "End" means a cancellation here.

- **never both**: the new intent replaces the old one.
- **independent**: the two do not affect each other.
- **in the order of their dates**: at the same instant, the end takes effect first.
- **no end inside the first period**: a change to other due dates begins a period that is paid and
  used in full.
  - An end on a date inside that period is refused, whatever the order of planning.
  - An end at period end moves to the end of that period.
  - A resumption that was planned drops the change instead.
  - A change at the same instant as the end, or later, never takes effect. A resumption with a new
    period from now drops it.

"""
FOOT = """
While an intent is overdue because a tick is late, every action is refused until the intent has
taken effect. Only a cancellation is accepted: an overdue end takes effect first, as of its own date
and with its own refund, and then nothing is left to cancel.

## Periods that are not billed

Every period that is not billed has an event `period.skipped` with the reason in `why`:

| why | the period |
|---|---|
| `paused` | began during a pause |
| `unpaid` | began while the subscription was unpaid |
| `latest` | passed during an outage, and the plan bills only the latest period |
| `canceled` | had begun and was not opened yet when the subscription was canceled |
| `held` | could not be opened since the subscription was held, and then dunning ended |

A trial has no periods.

- A pause that ends exactly on a due date skips nothing: that period opens.
- A pause in a trial keeps the remaining days of the trial. The first charge follows after them.
- A change of plan, or `resume --from now`, may end a period early. Its unused days become credit,
  as far as they were paid.
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
