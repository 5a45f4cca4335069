"""Nanoseconds per evaluation in this process, beside the hash alone.

Each figure is the best of several rounds, so that other work on the machine disturbs it least.
"""

import timeit
from collections.abc import Callable

from mmh3 import mmh3_32_uintdigest

from rheostat.engine import Ruleset
from rheostat.model.context import Context
from rheostat.model.flag import Answer, Condition, Flag, FlagType, Operator, Rollout, Rule
from rheostat.model.ramp import RampOverlay
from rheostat.model.snapshot import FORMAT, Identity, Patch, Snapshot

CALLS, ROUNDS = 50_000, 7


def a_flag(key: str, *rules: Rule, split: dict[str, float] | None = None, exposure_ppm: int = 250_000) -> Flag:
    """Return a boolean flag whose default is a rollout."""
    rollout = Rollout(exposure_ppm=exposure_ppm, split=split or {"on": 1.0}, salt=key, fallback="off")
    return Flag(
        key=key,
        type=FlagType.BOOLEAN,
        variants={"on": True, "off": False},
        version=1,
        enabled=True,
        off_variant="off",
        rules=rules,
        default=Answer(rollout=rollout),
    )


def a_rule(name: str, attribute: str, operator: Operator, *values: object) -> Rule:
    """Return a rule of two clauses, of which the first decides."""
    clause = Condition(attribute=attribute, operator=operator, values=values)
    other = Condition(attribute="country", operator=Operator.IN, values=("ES", "FR"))
    return Rule(name=name, when=Condition(all=(clause, other)), answer=Answer(serve="on"))


def a_ruleset() -> Ruleset:
    """Return the flags that are measured, among others to make 1 000."""
    flags = [
        a_flag("rollout"),
        a_flag("split", split={"on": 1.0, "off": 2.0}, exposure_ppm=1_000_000),
        a_flag("ramping"),
        a_flag(
            "rules",
            a_rule("staff", "email", Operator.ENDS_WITH, "@example.com"),
            a_rule("plan", "plan", Operator.IN, "enterprise"),
            a_rule("version", "version", Operator.SEMVER_GE, "9.0.0"),
        ),
        *(a_flag(f"other-{number}") for number in range(996)),
    ]
    ramp = RampOverlay(
        ramp="r", flag="ramping", exposure_ppm=250_000, epoch=1, levels=(0, 250_000), holdback_ppm=10_000
    )
    snapshot = Snapshot(
        format=FORMAT,
        generation=1,
        revision=1,
        project="default",
        environment="production",
        flags=tuple(flags),
        ramps=(ramp,),
    )
    return Ruleset.of(snapshot)


def nanoseconds(call: Callable[[], object], calls: int = CALLS) -> float:
    """Return the least time of one call, the time of calling nothing taken off."""
    empty = min(timeit.repeat(lambda: None, number=calls, repeat=ROUNDS))
    return (min(timeit.repeat(call, number=calls, repeat=ROUNDS)) - empty) / calls * 1e9


def main() -> None:
    """Print the figures."""
    ruleset = a_ruleset()
    context = Context(
        "user-123456", email="a@b.example", plan="pro", version="1.4.0", country="ES", device="phone", beta=False
    )
    evaluate = ruleset.evaluate
    salted, unit = "rollout/", "user-123456"
    baseline = nanoseconds(lambda: mmh3_32_uintdigest((salted + unit).encode(), 1))
    print(f"{'the hash alone':<34}{baseline:8.0f} ns")
    named = {
        "boolean rollout": "rollout",
        "rollout split in two": "split",
        "rollout with a live ramp": "ramping",
        "three rules, six attributes": "rules",
        "no such flag": "gone",
    }
    for name, key in named.items():
        spent = nanoseconds(lambda key=key: evaluate(key, context))  # type: ignore[misc]
        print(f"{name:<34}{spent:8.0f} ns{spent / baseline:8.1f} × the hash")
    edited = Patch(from_=Identity(1, 1), to=Identity(1, 2), flags=(a_flag("other-7", exposure_ppm=1),))
    spent = nanoseconds(lambda: ruleset.with_patch(edited), calls=20)
    print(f"{'an edit of one flag among 1 000':<34}{spent / 1e6:8.2f} ms")


if __name__ == "__main__":
    main()
