"""What commands, tasks and pages show; nothing here writes."""
