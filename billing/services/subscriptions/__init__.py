"""Subscriptions: subscribe, change, pause, resume, cancel, and what each of these causes."""
