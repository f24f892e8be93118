"""PostgreSQL: the rows, their constraints, and every statement."""
