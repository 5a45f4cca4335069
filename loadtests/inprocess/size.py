"""What 10 000 of our flags cost to make ready, and to hold. Run as a process of its own; prints one line of JSON."""

import gc
import json
import os
import time
from pathlib import Path

import msgspec
from loadtests.inprocess.subjects.rheostat import rules, snapshot

from rheostat.engine import Ruleset
from rheostat.model.snapshot import Snapshot

COUNT = 10_000


def resident() -> int:
    """Return the bytes of memory that this process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Measure flags of one rollout, then flags of three rules, each from the bytes that a server sends."""
    found = {}
    made = {
        "rollout": snapshot(COUNT),
        "rules": msgspec.structs.replace(snapshot(0), flags=tuple(rules(f"rules-{number}") for number in range(COUNT))),
    }
    bodies = {name: msgspec.json.encode(each) for name, each in made.items()}
    made.clear()
    decoder = msgspec.json.Decoder(Snapshot)
    Ruleset.of(decoder.decode(msgspec.json.encode(snapshot(10))))
    for name, body in bodies.items():
        compiling = decoding = float("inf")
        held = 0
        for attempt in range(3):
            before = resident()
            start = time.perf_counter()
            decoded = decoder.decode(body)
            middle = time.perf_counter()
            ruleset = Ruleset.of(decoded)
            end = time.perf_counter()
            if attempt == 0:  # later ones are given memory that the first left free
                held = resident() - before
            decoding, compiling = min(decoding, middle - start), min(compiling, end - middle)
            del decoded, ruleset
        found[name] = {"bytes": len(body), "decode_s": decoding, "compile_s": compiling, "held": held}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
