"""Collecting invoices: open, check, claim, send, settle, reconcile."""
