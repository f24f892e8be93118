"""Customers' wallets: link, keep and unlink."""
