"""How a reader keeps an environment's snapshot fresh."""
