"""Middleware that binds a context to each request and counts what became of it."""
