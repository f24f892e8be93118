"""Where the engine runs: Celery tasks, each a thin door to one service."""
