"""The storm: a deterministic simulation that tries to break what the engine promises.

One process, the real services, a real PostgreSQL, a pretend gateway in memory with a ledger of
its own, and a seed from which everything random comes: the same seed decides the same things.
A wide storm also has a merchant that calls the real HTTP application, notifications, and webhooks.
"""
