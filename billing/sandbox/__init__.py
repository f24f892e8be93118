"""A pretend DOKU OVO Recurring API with a ledger of its own, run as its own process.

    python -m billing.sandbox [--host 127.0.0.1] [--port 9001] [--state FILE] [--port-file FILE]

SANDBOX_CLIENT_ID and SANDBOX_SECRET_KEY must be set. It stands outside the engine: it imports none
of it, and the engine none of this. From a program, `process.start()` runs one.

The API
-------

The seven calls, their checks and their answers are those of DOKU's API page; where the page is
silent, the choices are:

- A Request-Id is used up by every request that passed the header and signature checks, also by one
  whose body was refused. The same request again gets 409 with the original body, signed; anything
  else with that id, and every GET, gets 409 `idempotent_request`.
- An invoice number is used up by every payment that came to a decision, also by a declined one and
  by TOKEN_EXPIRED: `invoice_already_used` (400).
- Declines are 400 with code `insufficient_funds`, `invalid_token`, or whatever a script says, and
  FAILED in the ledger and in status queries. A payment that met an expired token answers 201 with
  TOKEN_EXPIRED and does not show in status queries (404).
- REFUNDED is the status of a payment that was given back wholly; a partial refund leaves SUCCESS. A
  refund that is too large, or of an unpaid payment, answers 201 with `refund.status` FAILED. A
  status query by the refund's Request-Id shows the refund's amount and type REFUND.
- A token lives 365 days. A customer with a live token, and an OVO phone that is linked to another
  customer, cannot be bound (400 `account_error`). Opening `registration_url`, or posting to it, is
  the customer's yes.
- 2xx answers and 409 originals are signed, errors are not.

Control, under /_sandbox/
-------------------------

Unsigned JSON; served on a loopback address, elsewhere only with SANDBOX_CONTROL=open. What cannot
be done answers 400, 404 or 409 with a `message`. A seq grows over everything in the ledger.

    GET    health                     {"status": "ok", "seq": N, "busy": N}; busy: requests
                                      that are held before their work is done
    GET    ledger                     ?after=SEQ&limit=1..10000&customer=&kind=&number=&status=
                                      {"rows": [...], "next": the following `after`, or null}
    GET    totals                     counts, sums, wallets, and how often each call got what answer
    GET    wallets/{customer_id}      balances, status, token
    PUT    wallets/{customer_id}      {"cash": N, "points": N}; either may be left out
    POST   wallets/{customer_id}/top-up     {"amount": N}
    POST   wallets/{customer_id}/confirm    the customer's yes
    GET    defaults
    PUT    defaults                   any of cash, points (of new wallets), auto_confirm_seconds
                                      (null: never, 0: at once), delay_ms (of every answer),
                                      sign_errors, repeat_answer (original | idempotent_request)
    GET    clock                      {"now": …, "frozen": …}
    PUT    clock                      {"now": "2026-01-31T09:00:00+07:00" or null for real time}
    POST   scripts                    one script, or a list of them
    GET    scripts                    all, with how many requests each has `met`
    DELETE scripts                    forget all

Ledger rows have a `kind`: payment, end (of an open payment), refund, bind, confirm, unbind. A
payment's own row shows its present `status`, its split into `points` and `cash`, what was
`refunded`, and in `moves` how often its money moved. The clock is the business clock: dates, token
life, and the ends of what is open. Signatures are always judged by real time.

With --state everything but scripts and `answers` survives, also a kill.

Scripts
-------

    {"match": {"call": "pay", "customer_id": "C1", "number": "INV-1"},     all optional
     "skip": 0, "times": 1,                                                times null: for ever
     "action": {"kind": "hold", "seconds": 2, "work": "later"}}

Calls are bind, tokens, balance, pay, refund, unbind, status. A script sees requests that would
otherwise be answered on their merits; it lets `skip` of them pass and meets the next `times`. One
request meets at most one script of each group, the oldest first.

What is decided (new requests only, not repeated Request-Ids):

    decline        http_status=400, code="insufficient_funds", message; pay and refund: FAILED
    failed         message="DECLINED"; a 2xx whose status is FAILED (pay, refund, unbind)
    pending        end=null|SUCCESS|FAILED|EXPIRED with after_queries (so many status queries still
                   say PENDING) or after_seconds of the clock; the money moves at the end
    token_expired  the same options; 404 until the end. Without an end the token really expires
    status_says    status="PENDING"; any text, and NOT_FOUND for a 404

What goes over the wire (repeated requests too), `work` being done or none:

    refuse           reset, nothing done; before the body is read if it matches on the call only
    turn_away        code=invalid_signature | invalid_client_id | request_time_out_of_range |
                     invalid_header_request; nothing done
    drop_before, drop_after          close without an answer, nothing done or all
    hold             seconds=1.0 of real time, work="done" first and the answer later, or "later"
    http_500         work="none"; the envelope of an unhandled failure
    html             work="none"; 200 with a page
    rate_limited     work="none"; 429, retry_after=1
    conflict         work="none"; code=idempotent_request (409) | invoice_already_used (400)
    garbage, empty   work="done"; signed, and no JSON in it
    wrong_signature, no_signature    work done
    wrong_amount     work done; one rupiah more in the answer (pay, refund, status)
"""
