"""How ramps end over each crowd, in a table: ``python -m tests.proofs [rides] [part of a name]``.

A hundred rides of everything take some ten minutes.
"""

import statistics
import sys
from collections import Counter

from rheostat_server.ramps.model import Status
from tests.proofs.scenarios import HARMFUL, HARMLESS, INDEPENDENT

ENDED_BADLY = (Status.KILLED, Status.ABORTED)


def main(rides: int, *, only: str) -> None:
    """Print each scenario's line as it is done."""
    for kind, scenarios in (("harmless", {**INDEPENDENT, **HARMLESS}), ("harmful", HARMFUL)):
        for name, scenario in scenarios.items():
            if only not in name:
                continue
            ridden = [scenario(seed) for seed in range(rides)]
            ends = Counter(one.state.status.value for one in ridden)
            killed = [one for one in ridden if one.state.status is Status.KILLED]
            taken = f"{100 * sum(one.state.status in ENDED_BADLY for one in ridden) / rides:.2f} % killed or refused"
            after = f", after {statistics.median(one.seconds for one in killed):.0f} s" if killed else ""
            steps = f"highest step {max(one.state.step for one in ridden)}"
            print(f"{kind:9} {name:50} {taken}{after}; {steps}; {dict(ends)}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100, only=sys.argv[2] if len(sys.argv) > 2 else "")
