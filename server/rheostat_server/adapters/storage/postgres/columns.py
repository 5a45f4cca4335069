"""Rows as columns: many go into one statement by ``unnest``."""

from collections.abc import Collection
from typing import Any


def columns(rows: Collection[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Return the columns of these rows; ``width`` empty ones where there are none."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]
