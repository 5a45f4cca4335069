"""From the document that people write to the flag that an environment serves."""

import msgspec
import pytest

from rheostat.model.document import (
    AnswerDocument,
    EnvironmentDocument,
    FlagDocument,
    LayerDocument,
    RampDocument,
    RolloutDocument,
    RuleDocument,
    SegmentDocument,
)
from rheostat.model.flag import Answer, FlagType, Operator, Rollout, Rule, Segment
from rheostat.model.layer import Layer
from rheostat.model.serving import (
    environments_changed,
    keep_unlisted,
    rollout_of,
    serve,
    serve_layer,
    serve_segment,
)
from rheostat.model.window import Window, WindowDocument
from tests.builders import a_clause, a_prerequisite

WHEN = a_clause("n", Operator.IN, 1)
SHARE = RolloutDocument(exposure=33.3333, split={"on": 1}, fallback="off")
HERE = EnvironmentDocument(
    enabled=True,
    max_staleness="10m",
    prerequisites=(a_prerequisite("payments"),),
    targets={"on": ("user-1",)},
    rules=(
        RuleDocument(name="staff", when=WHEN, serve="on"),
        RuleDocument(
            name="sale", when=WHEN, rollout=RolloutDocument(exposure=5, split={"on": 1}, salt="s", bucket_by="org")
        ),
    ),
    default=AnswerDocument(rollout=SHARE),
)


def a_document(**environments: EnvironmentDocument) -> FlagDocument:
    return FlagDocument(
        key="checkout",
        type=FlagType.BOOLEAN,
        variants={"on": True, "off": False},
        off_variant="off",
        client=True,
        owner="payments",
        metadata={"team": "payments"},
        environments=environments,
    )


def test_a_served_flag_says_what_the_document_says_of_its_environment() -> None:
    """Shares become parts per million, the salt defaults to the key, lengths of time become milliseconds."""
    flag = serve(a_document(production=HERE), "production", 7)

    assert (flag.key, flag.version, flag.enabled, flag.client, flag.off_variant) == ("checkout", 7, True, True, "off")
    assert (flag.max_staleness_ms, flag.metadata) == (600_000, {"team": "payments"})
    assert (flag.prerequisites, flag.targets) == (HERE.prerequisites, HERE.targets)
    assert flag.default == Answer(
        rollout=Rollout(exposure_ppm=333_333, split={"on": 1.0}, salt="checkout", fallback="off")
    )
    assert flag.rules == (
        Rule(name="staff", when=WHEN, answer=Answer(serve="on")),
        Rule(
            name="sale",
            when=WHEN,
            answer=Answer(rollout=Rollout(exposure_ppm=50_000, split={"on": 1.0}, salt="s", bucket_by="org")),
        ),
    )
    assert "payments" not in str(msgspec.json.encode(msgspec.structs.replace(flag, metadata={}, prerequisites=())))


def test_an_environment_that_is_not_listed_is_disabled() -> None:
    """It serves the flag all the same, so that evaluation says DISABLED and not FLAG_NOT_FOUND."""
    flag = serve(a_document(), "production", 1)

    assert (flag.enabled, flag.default, flag.rules) == (False, Answer(), ())


def test_only_environments_that_serve_something_else_changed() -> None:
    """Owner and other environments change nothing; an edit of a shared field changes all."""
    before = a_document(production=HERE)
    owner = msgspec.structs.replace(before, owner="other")
    staged = a_document(production=HERE, staging=HERE)
    shared = msgspec.structs.replace(before, client=False)

    assert environments_changed(None, before, ["production", "staging"]) == {"production", "staging"}
    assert environments_changed(before, owner, ["production", "staging"]) == set()
    assert environments_changed(before, staged, ["production", "staging"]) == {"staging"}
    assert environments_changed(before, shared, ["production", "staging"]) == {"production", "staging"}


def test_an_edit_from_1_to_true_is_an_edit() -> None:
    """Values are told apart by type."""
    one, true = (
        a_document(
            p=EnvironmentDocument(rules=(RuleDocument(name="r", when=a_clause("n", Operator.IN, value), serve="on"),))
        )
        for value in (1, True)
    )

    assert environments_changed(one, true, ["p"]) == {"p"}


def test_environments_that_an_edit_does_not_list_are_kept() -> None:
    """A document replaces the environments that it lists."""
    before, after = a_document(production=HERE, staging=HERE), a_document(staging=EnvironmentDocument())

    assert keep_unlisted(before, after).environments == {"production": HERE, "staging": EnvironmentDocument()}
    assert keep_unlisted(None, after) == after


@pytest.mark.parametrize(("name", "salt"), [("default", "checkout"), ("sale", "s"), ("staff", None), ("gone", None)])
def test_a_rollout_is_found_by_name(name: str, salt: str | None) -> None:
    """In the served flag and in the document alike."""
    document = a_document(production=HERE)

    served = rollout_of(serve(document, "production", 1), name)
    written = HERE.rollout(name)

    assert (None if served is None else served.salt) == salt
    assert (written is None) == (served is None)
    assert EnvironmentDocument().rollout(name) is None


def test_a_document_is_the_same_after_json() -> None:
    """Documents are kept and sent as JSON, with their kind."""
    for kind, document in {
        "flag": a_document(production=HERE, staging=LAYERED),
        "ramp": RampDocument(flag="checkout", environment="production"),
        "segment": SegmentDocument(key="beta", conditions=(WHEN,)),
        "layer": LayerDocument(key="checkout", unit="org"),
    }.items():
        text = msgspec.json.encode(document)
        assert msgspec.json.decode(text, type=type(document)) == document
        assert msgspec.json.decode(text)["kind"] == kind


LAYERED = EnvironmentDocument(
    rules=(
        RuleDocument(
            name="sale",
            when=WHEN,
            active=WindowDocument(from_="2026-11-27T00:00", timezone="Europe/Madrid"),
            serve="on",
        ),
    ),
    default=AnswerDocument(
        rollout=RolloutDocument(exposure=50, split={"on": 1}, layer="page", range=(33.3333, 66.6666))
    ),
)
PAGE = serve_layer(LayerDocument(key="page", unit="org"))


def test_a_rollout_in_a_layer_has_its_salt_unit_and_range() -> None:
    """The range in parts per million; without one the whole line."""
    document = a_document(p=LAYERED)
    whole = RolloutDocument(exposure=50, split={"on": 1}, layer="page")

    served = serve(document, "p", 1, {"page": PAGE}).default.rollout
    all_of_it = serve(
        a_document(p=EnvironmentDocument(default=AnswerDocument(rollout=whole))), "p", 1, {"page": PAGE}
    ).default.rollout

    assert served is not None
    assert (served.salt, served.bucket_by, served.low, served.high) == ("layer:page", "org", 333_333, 666_666)
    assert all_of_it is not None
    assert (all_of_it.low, all_of_it.high) == (0, 1_000_000)


def test_a_layer_that_is_not_there_is_an_error() -> None:
    """Nobody is placed on a line that nobody defined."""
    with pytest.raises(KeyError):
        serve(a_document(p=LAYERED), "p", 1)


def test_an_edited_layer_changes_what_its_flags_serve() -> None:
    """Only where a rollout is in it."""
    document = a_document(p=LAYERED, q=HERE)
    salted = serve_layer(LayerDocument(key="page", unit="org", salt="s"))

    def changed(layer: Layer) -> set[str]:
        return environments_changed(document, document, ["p", "q"], {"page": layer}, {"page": PAGE})

    assert salted.salt == "s"
    assert (changed(salted), changed(PAGE)) == ({"p"}, set())
    assert environments_changed(document, document, ["p"], {"page": PAGE}) == set()


def test_a_segment_serves_what_decides_membership() -> None:
    """Owner, description and tags stay behind."""
    document = SegmentDocument(
        key="beta", unit="org", included=("a",), excluded=("b",), conditions=(WHEN,), owner="me", tags=("x",)
    )

    assert serve_segment(document) == Segment(
        key="beta", unit="org", included=("a",), excluded=("b",), conditions=(WHEN,)
    )


def test_a_rules_window_is_served_as_instants() -> None:
    """So that no evaluation needs to know of timezones."""
    assert serve(a_document(p=LAYERED), "q", 1).rules == ()
    active = serve(a_document(p=LAYERED), "p", 1, {"page": PAGE}).rules[0].active

    assert active == Window(from_ms=1_795_734_000_000)
