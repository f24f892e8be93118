"""Subscriptions: begin, change, pause, cancel, and what each of their steps brings with it."""
