"""The context that evaluations use when they are given none."""

import contextvars
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from rheostat.model.context import Context

P = ParamSpec("P")
R = TypeVar("R")

bound_context: contextvars.ContextVar[Context | None] = contextvars.ContextVar("rheostat_context", default=None)


@contextmanager
def bind(context: Context) -> Iterator[Context]:
    """Use this context for evaluations inside the block, in this thread or task and those it starts by asyncio."""
    token = bound_context.set(context)
    try:
        yield context
    finally:
        bound_context.reset(token)


def carry(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that runs with the context variables of now: the bound context, the request's recorder.

    For thread pools: ``executor.submit(carry(work), …)``. The result may be called often and by many threads.
    """
    variables = contextvars.copy_context()

    @functools.wraps(function)
    def carried(*args: P.args, **kwargs: P.kwargs) -> R:
        # A copy for each call: one set of variables cannot be entered twice at a time.
        return variables.copy().run(function, *args, **kwargs)

    return carried
