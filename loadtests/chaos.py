"""Many ramps on two nodes that are killed at random moments: ``python -m loadtests.chaos --ramps 100``.

The same ramps ride twice by stepped time, once undisturbed on one node, once on two nodes of which one is killed in
every fifth step, with a quarter of the batches sent again. Each log has to be the same, row by row; no request may be
lost or counted twice; each log has to follow again from itself; and harmless ramps are killed no more often than α.
"""

import argparse
import asyncio
import math
import sys
import tempfile
import time
from pathlib import Path

from rheostat_server.adapters.storage.postgres.embedded.launcher import start_embedded_now
from tests.faults.chaos import Course, Disturbance, Scenario, ride
from tests.postgres_fixture import TestServer

ALPHA = 0.01


def false_kills_bound(harmless: int) -> int:
    """Return the number of false kills that so many harmless ramps exceed in one of 100 000 runs, at α each."""
    left, kills = 1.0, 0
    while left > 1e-5:
        left -= math.comb(harmless, kills) * ALPHA**kills * (1 - ALPHA) ** (harmless - kills)
        kills += 1
    return kills


def faults_of(quiet: Course, chaos: Course, scenario: Scenario) -> list[str]:
    """Return what is wrong, in words."""
    faults = [f"{flag}: another decision" for flag in quiet.logs if chaos.decisions(flag) != quiet.decisions(flag)]
    for name, course in (("undisturbed", quiet), ("disturbed", chaos)):
        faults += [f"{flag}: lost or doubled, {name}" for flag in course.logs if course.read(flag) != course.sent[flag]]
        faults += [f"{flag}: does not follow again, {name}" for flag in course.disagreeing()]
    harmless = [flag for number, flag in enumerate(chaos.verdicts) if number >= scenario.harmful]
    killed = sum(chaos.verdicts[flag] == "killed" for flag in harmless)
    if killed > false_kills_bound(len(harmless)):
        faults.append(f"{killed} of {len(harmless)} harmless ramps were killed")
    return faults


async def run(directory: Path, server: TestServer, scenario: Scenario, kills: float) -> int:
    """Ride twice and print the figures; return the exit code."""
    began = time.monotonic()
    quiet = await ride(directory / "quiet", await asyncio.to_thread(server.fresh_database), scenario, None)
    after_quiet = time.monotonic()
    disturbance = Disturbance(kills=kills, seed=scenario.seed)
    chaos = await ride(directory / "chaos", await asyncio.to_thread(server.fresh_database), scenario, disturbance)
    ended = time.monotonic()
    faults = faults_of(quiet, chaos, scenario)
    verdicts = sorted(chaos.verdicts.values())
    harmless = list(chaos.verdicts.values())[scenario.harmful :]
    harmful = list(chaos.verdicts.values())[: scenario.harmful]
    for words, figure in (
        ("ramps", scenario.ramps),
        ("steps", chaos.steps),
        ("decisions compared", sum(map(len, quiet.logs.values()))),
        ("nodes killed", chaos.kills),
        ("takeovers", chaos.takeovers),
        ("batches sent again", chaos.duplicates),
        ("requests", sum(arm[0] for sent in chaos.sent.values() for arm in sent.values())),
        ("requests more than 2 min late", chaos.late()),
        ("harmful ramps killed", f"{harmful.count('killed')} of {len(harmful)}"),
        ("harmless ramps killed", f"{harmless.count('killed')} of {len(harmless)}"),
        ("ends", ", ".join(f"{verdicts.count(one)} {one}" for one in sorted(set(verdicts)))),
        ("undisturbed", f"{after_quiet - began:.0f} s"),
        ("disturbed", f"{ended - after_quiet:.0f} s"),
    ):
        print(f"{words:<32}{figure}")
    for fault in faults:
        print(f"WRONG: {fault}")
    print("all decisions are the same, nothing is lost or counted twice" if not faults else f"{len(faults)} faults")
    return 1 if faults else 0


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ramps", type=int, default=100)
    parser.add_argument("--harmful", type=int, help="so many of them are harmful; default: a fifth")
    parser.add_argument("--kills", type=float, default=0.2, help="in how many of the steps a node is killed, 0 … 1")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    harmful = asked.ramps // 5 if asked.harmful is None else asked.harmful
    scenario = Scenario(ramps=asked.ramps, harmful=harmful, seed=asked.seed)
    with tempfile.TemporaryDirectory(prefix="rheostat-chaos-", ignore_cleanup_errors=True) as name:
        (database := Path(name) / "database").mkdir()
        Path(name).chmod(0o755)
        server = TestServer(start_embedded_now(database, say=print))
        try:
            code = asyncio.run(run(Path(name), server, scenario, asked.kills))
        finally:
            server.close()
    sys.exit(code)


if __name__ == "__main__":
    main()
