"""The page of events, made from the table of kinds in the code.

Write it again with `python -m tests.house.events_page > docs/events.md`.
"""

import sys

from billing.domain.event_kinds import KINDS

HEAD = """# Events

Every change writes an event in its own transaction. Events are never deleted, and never changed,
except that the erasure of a customer replaces the texts in its events by `erased`. This page is
generated from `billing/domain/event_kinds.py`. To renew it:
`python -m tests.house.events_page > docs/events.md`.

## The event feed

The feed is the list of events in the order in which they became visible. Each has a `position`. A
reader stores the position up to which it has read, and asks for what comes after it. An event that
is committed late gets a later position, so that no reader misses it. Positions have gaps. A
position beyond the end of the feed is refused: the database was restored from a backup, and the
reader must start from an earlier position.

## Webhooks

`billing webhook create` adds an endpoint, which receives each event of its types as an HTTP POST,
as [Standard Webhooks](https://www.standardwebhooks.com) 1.0.0 defines it. The body:

```json
{"type": "invoice.paid", "timestamp": "2026-01-31T02:00:00+00:00", "data": {
  "position": 4711, "customer": "C1", "subscription": "6f1c…", "invoice": "0b7e…",
  "charge": "91aa…", "sequence": 5, "details": {"amount": 50000}}}
```

- The type is the kind of the event. `details` is the data of the event.
- `sequence` is the number of the event among the events of its subscription, from 1 without gaps.
  Deliveries may arrive in another order; the sequence is the order. Without a subscription it is
  null.
- Check the signature with the secret that `billing webhook create` prints: `webhook-signature` has
  `v1,` and the base64 of an HMAC-SHA256, several with a blank between them. The key is the secret
  after `whsec_`, decoded from base64. The message is `webhook-id`, a dot, `webhook-timestamp`, a
  dot, and the body as it arrived, byte by byte. Refuse a timestamp that is more than five minutes
  away. Libraries for most languages are on the page of the specification. For 24 hours after
  `billing webhook rotate-secret` each request has a signature for the previous secret, too.
- An event may arrive more than once, with the same `webhook-id`. Store the id, and ignore a repeat.
  It has the same body each time, unless its customer was erased in the meantime.
- Answer with any 2xx status within 15 seconds. A redirect counts as a failure.
- After a failure there is another attempt, after 5 seconds, 5 and 30 minutes, 2, 5, 10, 14, 20 and
  24 hours. Then the delivery is failed, and `billing webhook resend` sends it again.
- An endpoint that answers 410, or fails for 5 days without one success, is disabled, with an event.
- A delivery is listed for 90 days.
- An endpoint is reached by https at public addresses only. For development,
  `BILLING_WEBHOOK_ALLOWED_HOSTS` names hosts that may be private and plain http.
- The type `webhook.test` is sent by `billing webhook test` only; it is in no feed.

## Kinds

"""


def page() -> str:
    """The whole page."""
    rows = [f"| `{kind}` | {meaning} |" for kind, meaning in KINDS.items()]
    return HEAD + "\n".join(["| kind | when |", "|---|---|", *rows]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
