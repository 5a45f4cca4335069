"""How a ramp document is kept, and what makes it another one."""

from typing import Any

from rheostat_server.ramps.given import as_given, digest_of

DOCUMENT: dict[str, Any] = {
    "kind": "ramp",
    "flag": "checkout",
    "environment": "production",
    "steps": [1, {"exposure": 5, "gate": "manual"}],
    "soak": "1h",
}


def test_order_and_fractions_make_no_other_document() -> None:
    """Neither the order of fields, nor 5.0 for 5, nor a kind that is left out."""
    turned = dict(reversed(DOCUMENT.items())) | {"steps": (1.0, {"gate": "manual", "exposure": 5.0})}
    del turned["kind"]

    assert digest_of(turned) == digest_of(DOCUMENT)
    assert as_given(turned) == DOCUMENT
    assert next(iter(as_given(turned))) == "kind"


def test_any_number_has_a_digest() -> None:
    """Also one that no document may hold: it is refused elsewhere, with its path."""
    assert as_given({"users": 1e300})["users"] == 1e300
    assert digest_of({"users": 1e300}) != digest_of({"users": 10**300})


def test_what_is_written_otherwise_is_another_document() -> None:
    """Also a default that is written out, and true for 1."""
    others = [
        DOCUMENT | {"soak": "60m"},
        DOCUMENT | {"holdback": 0},
        DOCUMENT | {"template": "careful"},
        DOCUMENT | {"steps": [1, 5]},
        DOCUMENT | {"users": 1},
        DOCUMENT | {"users": True},
    ]

    assert len({digest_of(one) for one in (DOCUMENT, *others)}) == len(others) + 1


def test_the_digest_never_changes() -> None:
    """It is stored: another one would start every applied ramp again."""
    assert digest_of(DOCUMENT) == "155df0115c94daf8402a1bdc6f558e20dab9e13f742389629cb1145a9fd29e5d"
