"""A running stage: server, shop and, unless the test says otherwise, Prometheus."""

import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from rheostat.clock import system_clock
from rheostat_server.demo.stage import Stage, set_stage
from rheostat_server.demo.story import FLAG_DOCUMENT
from rheostat_server.demo.traffic import Traffic

Play = Callable[..., AbstractAsyncContextManager[tuple[Stage, Traffic]]]


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A short directory that PostgreSQL's user can pass through (pytest's own is private to the tester)."""
    with tempfile.TemporaryDirectory(prefix="rheostat-e2e-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def play(open_directory: Path) -> Play:
    """Set the stage, write the shop's flag, and let users come: ``async with play(with_prometheus=…)``."""

    @contextlib.asynccontextmanager
    async def begin(
        *, with_prometheus: bool, background: float = 0.002, rate: float = 150, users: int = 2000, workers: int = 1
    ) -> AsyncIterator[tuple[Stage, Traffic]]:
        async with set_stage(
            open_directory, background=background, with_prometheus=with_prometheus, workers=workers
        ) as stage:
            if with_prometheus:
                assert stage.prometheus is not None, "Prometheus is not installed: scripts/need-test-programs"
            await stage.put_flag(FLAG_DOCUMENT)
            traffic = Traffic(stage.shop_url, rate=rate, users=users, clock=system_clock())
            await traffic.start()
            try:
                yield stage, traffic
            finally:
                await traffic.stop()

    return begin
