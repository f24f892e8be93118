"""Run the engine in Celery: every task validates its arguments and calls one service."""
