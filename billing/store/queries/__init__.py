"""All SQL statements, each in a named function, by noun.

One rule prevents deadlocks: code that changes a subscription, or one of its invoices, charges or
refunds, locks the subscription's row first. Several subscriptions are locked in the order of their
ids, wallets and credits after them, and the customer, where needed, before them. One exception: the
claim of due invoices locks invoices first, and skips subscriptions that are locked.
"""
