"""What a flag may name."""

from rheostat.model.document import EnvironmentDocument, FlagDocument, RuleDocument
from rheostat.model.flag import Condition, FlagType, Prerequisite
from rheostat_server.flags.chains import MOST_FLAGS, longest
from rheostat_server.flags.references import (
    check_dependents,
    check_environments,
    check_prerequisites,
    check_segments,
    dependents,
)


def a_flag(key: str, *needs: str, environment: str = "production", variants: tuple[str, ...] = ("on",)) -> FlagDocument:
    here = EnvironmentDocument(prerequisites=tuple(Prerequisite(other, variants) for other in needs))
    return FlagDocument(
        key=key, type=FlagType.BOOLEAN, variants={"on": True, "off": False}, environments={environment: here}
    )


def flags(*documents: FlagDocument) -> dict[str, FlagDocument]:
    return {document.key: document for document in documents}


def test_a_chain_is_no_circle() -> None:
    """Prerequisites may share one, and may form a long chain."""
    known = flags(a_flag("a", "b", "c"), a_flag("b", "c"), a_flag("c"))
    assert [check_prerequisites(document, known) for document in known.values()] == [[], [], []]


def test_a_circle_counts_within_one_environment_only() -> None:
    """Two flags may need each other in different environments, never in one."""
    apart = flags(a_flag("a", "b"), a_flag("b", "a", environment="staging"))
    together = flags(a_flag("a", "b"), a_flag("b", "a"))

    assert check_prerequisites(apart["a"], apart) == []
    [fault] = check_prerequisites(together["a"], together)
    assert fault.path == "environments.production.prerequisites[0].flag"
    assert fault.message == "this goes in a circle: a → b → a"


def test_a_circle_elsewhere_is_not_this_flags_fault() -> None:
    """A flag that leads into a circle without being in it is let through; the walk ends all the same."""
    known = flags(a_flag("a", "b"), a_flag("b", "c"), a_flag("c", "b"))
    assert check_prerequisites(known["a"], known) == []


def test_a_missing_variant_gets_a_hint() -> None:
    """A prerequisite names a flag and variants that are there."""
    known = flags(a_flag("a", "b", variants=("onn",)), a_flag("b"))
    [fault] = check_prerequisites(known["a"], known)
    assert (fault.path, fault.hint) == ("environments.production.prerequisites[0].variants[0]", "did you mean on?")
    [missing] = check_prerequisites(a_flag("x", "bb"), known)
    assert missing.message == "there is no flag 'bb'"


def test_dependents_are_found() -> None:
    """Who needs a flag is known, and a variant that they need cannot go."""
    known = flags(a_flag("a", "b"), a_flag("b"))
    assert dependents("b", known) == [("a", "production", ("on",))]
    assert check_dependents(known["b"], known) == []
    without = FlagDocument(key="b", type=FlagType.BOOLEAN, variants={"off": False})
    [fault] = check_dependents(without, known)
    assert fault.path == "variants"


def test_unknown_environments_and_segments_are_faults() -> None:
    """Environments must be the project's; a segment is found however deep the condition."""
    deep = Condition(any=(Condition(not_=Condition(segment="beta")),))
    here = EnvironmentDocument(rules=(RuleDocument(name="r", when=deep, serve="on"),))
    document = FlagDocument(key="a", type=FlagType.BOOLEAN, variants={"on": True}, environments={"prodution": here})

    [environment] = check_environments(document, ["production", "staging"])
    assert (environment.path, environment.hint) == ("environments.prodution", "did you mean production?")
    [segment] = check_segments(document, ())
    assert segment.path == "environments.prodution.rules[0].when.any[0].not.segment"
    assert check_segments(document, ["beta"]) == []


def a_chain(length: int, prefix: str = "f") -> list[FlagDocument]:
    """Return flags each of which needs the next."""
    return [a_flag(f"{prefix}{n}", *([f"{prefix}{n + 1}"] if n + 1 < length else [])) for n in range(length)]


def test_a_chain_has_a_greatest_length() -> None:
    """The longest that is allowed is; one link more is a fault that names the whole chain and what to do."""
    allowed = flags(*a_chain(MOST_FLAGS))
    assert [check_prerequisites(document, allowed) for document in allowed.values()] == [[]] * MOST_FLAGS

    above = a_flag("top", "x", "f0")
    [fault] = check_prerequisites(above, {**allowed, **flags(above, a_flag("x"))})
    chain = " → ".join(["top", *allowed])
    assert fault.path == "environments.production.prerequisites[1].flag"
    assert fault.message == f"this makes a chain of 33 flags, and 32 are the most: {chain}"
    assert fault.hint == "let top name what is further along the chain, or take a link out"


def test_a_chain_is_counted_from_those_that_need_the_flag() -> None:
    """A write in the middle lengthens the chains of flags that it does not touch, in its own environment alone."""
    upper, lower = a_chain(16, "u"), a_chain(17, "d")
    joined = a_flag("u15", "d0")
    known = flags(*upper, *lower, joined, *a_chain(30, "side"))

    [fault] = check_prerequisites(joined, known)
    assert fault.message.startswith("this makes a chain of 33 flags")
    assert "u0 → u1 → " in fault.message
    assert fault.message.endswith("d15 → d16")
    elsewhere = a_flag("u15", "d0", environment="staging")
    assert check_prerequisites(elsewhere, {**known, **flags(elsewhere)}) == []
    shorter = {**known, **flags(a_flag("d15"))}
    assert check_prerequisites(joined, shorter) == []


def test_the_longest_of_all_ways_counts() -> None:
    """However many ways there are, each flag is looked at once; a circle elsewhere does not hold up the count."""
    rungs = [a_flag(f"r{n}", f"r{n + 1}", f"r{n + 2}") for n in range(3_000)]
    links = {flag.key: [need.flag for need in flag.environments["production"].prerequisites] for flag in rungs}
    links["r2999"] = ["r3000", "r2990"]

    assert longest("r0", links) == [f"r{n}" for n in range(3_001)]
    assert longest("alone", links) == ["alone"]
