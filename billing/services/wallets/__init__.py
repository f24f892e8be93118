"""Customers' wallets: link, poll, expire and unlink."""
