"""A PostgreSQL of our own, for those who bring none."""
