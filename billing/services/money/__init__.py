"""Refunds, credits and discounts: money that is returned, and reductions of invoices."""
