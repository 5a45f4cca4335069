"""What was acknowledged is there, whatever dies."""

import asyncio
import contextlib
import os
import random
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from rheostat_server.demo.stage import Stage
from tests.e2e.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(280)]

WRITES = 200
KILLS = 6


def a_document(key: str, number: int) -> dict[str, Any]:
    return {
        "kind": "flag",
        "key": key,
        "type": "integer",
        "variants": {"now": number},
        "off_variant": "now",
        "environments": {"production": {"enabled": True, "default": {"serve": "now"}}},
    }


async def test_no_acknowledged_write_is_lost_to_kill_9(open_directory: Path) -> None:
    """200 writes while the server is killed at random moments: each acknowledged one is there afterwards."""
    stage = Stage(open_directory, background=0.0, with_prometheus=False)
    chance = random.Random(20261123)
    acknowledged: dict[str, int] = {}
    attempted: dict[str, int] = {}
    written = asyncio.Semaphore(0)

    async def write(worker: int) -> None:
        key = f"flag-{worker}"
        for number in range(WRITES // 4):
            attempted[key] = number
            # A write that was not answered is sent again: it may or may not have been kept.
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    answer = await stage.api.put(f"/projects/default/flags/{key}", json=a_document(key, number))
                    if answer.status_code in {200, 201}:
                        break
                    assert answer.status_code == 503, answer.text
                await asyncio.sleep(0.1)
            acknowledged[key] = number
            written.release()

    async def crash() -> None:
        for _ in range(KILLS):
            for _ in range(WRITES // (KILLS + 1)):
                await written.acquire()
            await asyncio.sleep(chance.random() * 0.05)
            assert stage.server is not None
            stage.server.kill()
            await stage.start_server()

    try:
        await stage.start_server()
        await asyncio.gather(crash(), *(write(worker) for worker in range(4)))
        assert stage.server is not None
        stage.server.kill()
        await stage.start_server()
        for key, number in acknowledged.items():
            view = (await stage.api.get(f"/projects/default/flags/{key}")).raise_for_status().json()
            assert view["document"]["variants"]["now"] == number == attempted[key]
            history = (await stage.api.get(f"/projects/default/flags/{key}/history")).raise_for_status().json()
            versions = [entry["version"] for entry in history["versions"]]
            assert versions == list(range(max(versions), 0, -1))[: len(versions)]
        headers = {"authorization": f"Bearer {stage.sdk_key}"}
        async with httpx.AsyncClient(headers=headers) as sdk:
            snapshot = (await sdk.get(f"{stage.url}/sdk/v1/snapshot")).raise_for_status().json()
        served = {flag["key"]: flag["variants"]["now"] for flag in snapshot["flags"]}
        assert served == acknowledged
    finally:
        await stage.close()


async def test_a_database_that_dies_is_started_again(open_directory: Path) -> None:
    """PostgreSQL killed under a running server comes back by itself; nothing acknowledged is gone."""
    stage = Stage(open_directory, background=0.0, with_prometheus=False)
    try:
        await stage.start_server()
        (await stage.api.put("/projects/default/flags/kept", json=a_document("kept", 1))).raise_for_status()
        pid = int((open_directory / "data" / "postgres" / "cluster" / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGKILL)

        async def write() -> int:
            with contextlib.suppress(httpx.HTTPError):
                return (await stage.api.put("/projects/default/flags/kept", json=a_document("kept", 2))).status_code
            return 0

        await until(write, lambda status: status in {200, 201}, within=30)
        view = (await stage.api.get("/projects/default/flags/kept")).raise_for_status().json()
        assert view["document"]["variants"]["now"] == 2
        assert stage.server is not None
        assert "PostgreSQL" in stage.server.output
    finally:
        await stage.close()
