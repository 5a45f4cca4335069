"""One SDK in a process of its own: loads its flags, then answers each line on its input with a line of JSON.

Lines in are the name of a question; the answer is the least nanoseconds per evaluation of several passes.
"""

import contextlib
import gc
import importlib
import importlib.metadata
import json
import logging
import os
import sys
import time
from typing import Any

from loadtests.inprocess.cases import RULES, Run, shares, units, users

LEAST_SECONDS = 0.06
"""How long a question is asked over and over."""


def measured(run: Run, evaluations: int) -> float:
    """Return the least nanoseconds per evaluation of passes that take ``LEAST_SECONDS`` in all."""
    clock, best = time.perf_counter_ns, float("inf")
    end = clock() + LEAST_SECONDS * 1e9
    while clock() < end:
        start = clock()
        run()
        best = min(best, clock() - start)
    return best / evaluations


def loaded(name: str) -> tuple[dict[str, tuple[Run, int]], dict[str, Any]]:
    """Return the questions with how many evaluations each holds, and what is told of the SDK."""
    module = importlib.import_module(f"loadtests.inprocess.subjects.{name}")
    few, many, most = module.load(10), module.load(1_000), module.load(10_000)
    known = users()
    plain = units(known)
    questions = {
        "w1": (few.one_flag("flag-0", plain), len(plain)),
        "w2": (few.one_flag(RULES, known), len(known)),
        "w3": (many.all_flags(shares(1_000), plain[0]), 1),
        "w1 of 10000": (most.one_flag("flag-0", plain), len(plain)),
    }
    answers = questions["w1"][0]()
    told = {
        "versions": {package: importlib.metadata.version(package) for package in module.PACKAGES},
        "share": sum(answers) / len(answers),
        "right": sum(answer == user.matches() for answer, user in zip(questions["w2"][0](), known, strict=True))
        / len(known),
        "all": sum(questions["w3"][0]()) / 1_000,
    }
    return questions, told


def main() -> None:
    """Answer until the input ends."""
    logging.disable(logging.CRITICAL)
    # SDKs may print: what is said to the conductor goes through a descriptor of its own.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    try:
        questions, told = loaded(sys.argv[1])
    except Exception as error:  # noqa: BLE001 - an SDK that cannot be loaded is named with its reason
        print(json.dumps({"failed": f"{type(error).__name__}: {error}"}), file=out)
        return
    gc.collect()
    gc.freeze()
    print(json.dumps(told), file=out)
    for line in sys.stdin:
        run, evaluations = questions[line.strip()]
        print(json.dumps(measured(run, evaluations)), file=out)
    with contextlib.suppress(OSError):
        out.flush()
    os._exit(0)  # SDKs' threads may wait for a network that is not there


if __name__ == "__main__":
    main()
