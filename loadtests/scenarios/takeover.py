"""How long ramps stand still when the leader dies: from ``kill -9``, or SIGSTOP, to the next node's first observation.

By real time, on two nodes of one PostgreSQL, at random moments of the beat. The protocol's bound is 10 s: up to 2 s
until the beat is seen for the last time, 6 s of silence, and a tick. The baseline is a leader that is stopped in order.
"""

import asyncio
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from rheostat_server.adapters.storage.postgres.embedded.launcher import start_embedded_now
from tests.e2e.waiting import until
from tests.faults.known_reports import KnownReports
from tests.faults.two_nodes import FLAGS, RAMPS, Cluster, FaultyNode, cluster, flag_document
from tests.postgres_fixture import TestServer

ROUNDS = 5
BOUND_SECONDS = 10.0


async def observed(nodes: Cluster) -> int:
    """Return how many observations of the ramp were saved."""
    found: int = await nodes.database.fetchval("SELECT (state::json->>'observations')::bigint FROM ramps")
    return found


async def stood_still(nodes: Cluster, reports: KnownReports, how: str) -> float:
    """Take the leader away and return the seconds until the ramp was observed by the other; both run afterwards."""
    leader, other = await nodes.roles()
    await asyncio.sleep(2 + random.random() * 2)
    token = await nodes.token()

    async def gone(node: FaultyNode) -> None:
        match how:
            case "kill -9":
                node.kill()
            case "SIGSTOP":
                node.freeze()
            case _:
                await asyncio.to_thread(node.stop)

    began = time.monotonic()
    await gone(leader)
    await until(nodes.token, lambda found: found > token, within=60, every=0.02)
    before = await observed(nodes)
    await nodes.report(other, reports.batch())
    await until(lambda: observed(nodes), lambda seen: seen > before, within=60, every=0.02)
    spent = time.monotonic() - began
    if how == "SIGSTOP":
        leader.thaw()
        # Until its next beat it does not know that it leads no more.
        await asyncio.sleep(3)
    else:
        await leader.start()
    return spent


async def run(url: str, directory: Path) -> None:
    """Measure and print."""
    async with cluster(directory, url, "one", "two") as nodes:
        await nodes.call(nodes.nodes[0], "PUT", f"{FLAGS}/checkout", flag_document("checkout"))
        document: dict[str, Any] = {"kind": "ramp", "flag": "checkout", "steps": [10], "preflight": "1h"}
        ramp = (await nodes.call(nodes.nodes[0], "POST", RAMPS, document))["id"]
        reports = KnownReports(ramp)
        for how in ("in order", "kill -9", "SIGSTOP"):
            spent = sorted([await stood_still(nodes, reports, how) for _ in range(ROUNDS)])
            verdict = "within" if spent[-1] <= BOUND_SECONDS else "BEYOND"
            print(
                f"{how:<10}{spent[0]:6.1f} s least{spent[len(spent) // 2]:6.1f} s median{spent[-1]:6.1f} s most   "
                f"{verdict} {BOUND_SECONDS:.0f} s",
                flush=True,
            )


def main() -> None:
    """Start PostgreSQL and run."""
    with tempfile.TemporaryDirectory(prefix="rheostat-takeover-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        (data := Path(name) / "data").mkdir()
        server = TestServer(start_embedded_now(data, say=print))
        try:
            asyncio.run(run(server.fresh_database(), Path(name)))
        finally:
            server.close()


if __name__ == "__main__":
    main()
