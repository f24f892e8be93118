"""The page of events, made from the table of kinds and the examples in the code.

Write it again with `python -m tests.house.events_page > docs/events.md`.
"""

import json
import sys

from billing.domain.event_kinds import KINDS
from billing.services.webhooks import examples

HEAD = """# Events

Every change writes an event in its own transaction. Events are never deleted, and never changed,
except that an erasure replaces the texts in the events of its customer by `erased`. This page is
generated from `billing/domain/event_kinds.py` and `billing/services/webhooks/examples.py`. To renew
it: `python -m tests.house.events_page > docs/events.md`.

An event has the same fields everywhere: in the event feed (`GET /v1/events`), in
`billing event list --json`, in the export of a customer, and in webhooks.

| field | meaning |
|---|---|
| `id` | the event's number when it was written |
| `position` | its place in the event feed |
| `type` | what happened: one of the types below |
| `timestamp` | when it happened |
| `actor`, `reason` | who caused it, and the reason that a person gave, or why dunning ended |
| `customer`, `subscription`, `invoice`, `charge` | ids of what it concerns; null for others |
| `details` | what happened in numbers and words; the keys depend on the type |

## The event feed

The feed is the list of events in the order in which they became visible. Each has a `position`. A
reader stores the position up to which it has read, and asks for what comes after it. An event that
is committed late gets a later position, so that no reader misses it. Positions have gaps. A
position beyond the end of the feed is refused: the database was restored from a backup, and the
reader must start from an earlier position.

## Webhooks

`billing webhook create` adds an endpoint, which receives each event of its types as an HTTP POST,
as [Standard Webhooks](https://www.standardwebhooks.com) 1.0.0 defines it. The body has `type`,
`timestamp` and `data`. `data` has the other fields of the event, and three more:

- `sequence` is the number of the event among the events of its subscription, from 1 without gaps.
  Deliveries may arrive in another order; the sequence is the order. Without a subscription it is
  null.
- `object` is what the event is about, with the fields of its list (`GET /v1/invoices`, without the
  charges and refunds of each invoice). It is read at the first attempt, shortly after the event, so
  that it can be newer than the event. `details` are as they were. Each repeat of a failed attempt
  has the same body, unless the customer was erased. `billing webhook resend` reads it again.
- `object_type` says what it is: `plan`, `coupon`, `customer`, `wallet`, `subscription`, `invoice`,
  `charge`, `refund` or `credit`. Both are null for events of the engine, of API keys and of
  endpoints.

The OpenAPI document (`docs/openapi.json`, section `webhooks`) has the types as an enum and the
schema of the body. Rules for a receiver:

- Check the signature with the secret that `billing webhook create` prints: `webhook-signature` has
  `v1,` and the base64 of an HMAC-SHA256, several with a blank between them. The key is the secret
  after `whsec_`, decoded from base64. The message is `webhook-id`, a dot, `webhook-timestamp`, a
  dot, and the body as it arrived, byte by byte. Refuse a timestamp that is more than five minutes
  away. Libraries for most languages are on the page of the specification. For 24 hours after
  `billing webhook rotate-secret` each request has a signature for the previous secret, too.
- An event may arrive more than once, with the same `webhook-id`. Store the id, and ignore a repeat.
  After a failure it has the same body each time, unless its customer was erased in the meantime. A
  sender that dies between sending and recording builds the body again: its `object` may be newer.
- Answer with any 2xx status within 15 seconds. A redirect counts as a failure.
- After a failure there is another attempt, after 5 seconds, 5 and 30 minutes, 2, 5, 10, 14, 20 and
  24 hours. Then the delivery is failed, and `billing webhook resend` sends it again.
- An endpoint that answers 410, or fails for 5 days without one success, is disabled, with an event.
- A delivery is listed for 90 days.
- An endpoint is reached by https at public addresses only. For development,
  `BILLING_WEBHOOK_ALLOWED_HOSTS` names hosts that may be private and plain http.
- The type `webhook.test` is sent by `billing webhook test` only; it is in no feed.

## Charges that are announced

A plan with a notice (`--notice "3 days"` of `billing plan create`, in the API `notice`) announces
each charge with the event `invoice.upcoming`, so that the merchant can tell the customer before.
Its details: `amount`, which the wallet will pay, and `credited`, which credit will pay, both
computed like the forecast with coupon, extra lines and planned changes; `currency`; `charge_at`;
`plan`; `period_index`; `wallet_status` (`active`, `expiring` when the token ends before the charge,
`none`) and `wallet_expires_at`.

- A charge is announced once for each date: `subscription`, `period_index` and `charge_at` identify
  it. When the date moves, as after a pause in a trial, the new date is announced again, late if its
  notice has passed by. A change of the amount is not announced again; a restored backup may
  announce a second time.
- Credit that an announced charge of the customer takes is not counted by one that is due later. One
  that is announced later and due earlier takes the credit first: the other wallet then pays more
  than was announced.
- After an outage the event comes late, but never after the charge is due.
- A notice that is longer than the period comes when the period before begins. A first charge that
  is due at once is not announced; the end of a trial and a later start are.
- Nothing is announced for a subscription that is paused, held or ended by then. After it resumes,
  the next charge is announced.
- After a planned change the notice of the next plan counts. An amount of 0 is announced, too.
- A day of a notice is 24 hours. A notice has days, weeks, hours or less, and no months.

## Types

"""


def page() -> str:
    """The whole page."""
    rows = [f"| `{kind}` | {meaning} |" for kind, meaning in KINDS.items()]
    types = "\n".join(["| type | when |", "|---|---|", *rows])
    bodies = "\n".join(
        f"`{kind}`:\n\n```json\n{json.dumps(body, indent=1, ensure_ascii=False)}\n```\n"
        for kind, body in examples.made().items()
    )
    return f"{HEAD}{types}\n\n## Examples\n\nThe body of a webhook of each main type.\n\n{bodies}"


if __name__ == "__main__":
    sys.stdout.write(page())
