"""All SQL statements, each in a named function, by noun.

One rule keeps them free of deadlocks: code that changes a subscription, or an invoice, charge or
refund of it, holds the subscription's row lock first; several are locked in the order of their
ids, wallets and credits after subscriptions, and the customer, where that is wanted, before both.
One exception: the claim of what is due locks invoices first, and then only tries subscriptions.
"""
