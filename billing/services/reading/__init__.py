"""Read models for commands, tasks and pages; nothing here writes."""
