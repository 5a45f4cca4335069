"""Asks each SDK in turn, round after round, and prints the table.

Interleaved (A B C … A B C …), so that whatever else the machine does disturbs all alike; the least of the rounds is
the figure, the median is beside it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

OURS, FLOOR = "rheostat", "floor"
PEERS = ("eppo", "statsig", "growth_book", "launchdarkly", "unleash", "flagd", "go_feature_flag")
SUBJECTS = (FLOOR, OURS, "rheostat_engine", "rheostat_counting", *PEERS)
QUESTIONS = {
    "w1": "W1  one boolean flag at 50 %, distinct users: ns per evaluation",
    "w2": "W2  three rules (list, semver, suffix), six attributes: ns per evaluation",
    "w3": "W3  1 000 flags for one user, one call each: ns for all",
    "w1 of 10000": "W1 with 10 000 flags loaded: ns per evaluation",
}


class Worker:
    """An SDK's process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.times: dict[str, list[float]] = {question: [] for question in QUESTIONS}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "loadtests.inprocess.worker", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
        self.told: dict[str, Any] = self._line()

    def ask(self, question: str) -> None:
        """Measure once."""
        assert self._process.stdin is not None
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        self.times[question].append(self._line())

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _line(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line else {"failed": "the process ended"}


def table(question: str, workers: Iterable[Worker]) -> None:
    """Print one question's figures, the fastest first."""
    rows = [(min(worker.times[question]), statistics.median(worker.times[question]), worker.name) for worker in workers]
    least = {name: best for best, _, name in rows}
    print(f"\n{QUESTIONS[question]}\n{'':<22}{'least':>12}{'median':>12}{'÷ ours':>10}{'÷ floor':>10}")
    for best, median, name in sorted(rows):
        print(f"{name:<22}{best:>12,.0f}{median:>12,.0f}{best / least[OURS]:>10.2f}{best / least[FLOOR]:>10.2f}")


def targets(workers: dict[str, Worker], size: dict[str, Any]) -> None:
    """Print which targets are met."""
    least = {name: {each: min(times) for each, times in worker.times.items()} for name, worker in workers.items()}
    ours, engine = least[OURS], least["rheostat_engine"]
    best = {each: min(least[name][each] for name in PEERS if name in least) for each in QUESTIONS}
    compile_s = max(each["compile_s"] for each in size.values())
    held = max(each["held"] for each in size.values())
    lines = [
        ("W1 ≤ 300 ns", f"{ours['w1']:.0f} ns (engine {engine['w1']:.0f})", ours["w1"] <= 300),
        ("W1 1.25 × the best peer", f"{best['w1'] / ours['w1']:.2f} ×", best["w1"] / ours["w1"] >= 1.25),
        ("W2 ≤ 800 ns", f"{ours['w2']:.0f} ns (engine {engine['w2']:.0f})", ours["w2"] <= 800),
        ("W3 ≤ 350 µs", f"{ours['w3'] / 1e3:.0f} µs (engine {engine['w3'] / 1e3:.0f})", ours["w3"] <= 350_000),
        (
            "10 000 flags cost ≤ 1.1 × 10",
            f"{ours['w1 of 10000'] / ours['w1']:.3f} ×",
            ours["w1 of 10000"] / ours["w1"] <= 1.1,
        ),
        ("10 000 flags compile < 1 s", f"{compile_s:.2f} s", compile_s < 1),
        ("10 000 flags hold < 60 MB", f"{held / 1e6:.0f} MB", held < 60e6),
    ]
    print("\nTargets")
    for name, figure, met in lines:
        print(f"  {'met    ' if met else 'MISSED '}{name:<32}{figure}")


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(prog="loadtests.inprocess", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    load = f"load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    print(f"Python {sys.version.split()[0]}, {load}")
    workers: dict[str, Worker] = {}
    for name in SUBJECTS:
        worker = Worker(name)
        if "failed" in worker.told:
            print(f"{name}: left out: {worker.told['failed']}")
            worker.close()
            continue
        workers[name] = worker
        told = worker.told
        versions = ", ".join(f"{package} {version}" for package, version in told["versions"].items())
        print(f"{name:<20}{versions}; on for {told['share']:.1%}", end="")
        print("" if name == FLOOR else f"; {told['right']:.0%} of rules' answers right")
    for _ in range(rounds):
        for question in QUESTIONS:
            for worker in workers.values():
                worker.ask(question)
    for worker in workers.values():
        worker.close()
    for question in QUESTIONS:
        table(question, workers.values())
    command = [sys.executable, "-m", "loadtests.inprocess.size"]
    size = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print("\n10 000 flags of ours, from the bytes of a snapshot")
    for name, each in size.items():
        print(
            f"  one {name:<10}{each['bytes'] / 1e6:6.1f} MB of JSON, decoded in {each['decode_s']:.3f} s, "
            f"compiled in {each['compile_s']:.3f} s, {each['held'] / 1e6:.1f} MB held"
        )
    targets(workers, size)


if __name__ == "__main__":
    main()
