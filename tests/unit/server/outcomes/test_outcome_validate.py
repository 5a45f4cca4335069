"""What a batch must be like."""

import json
from typing import Any

import pytest

from rheostat_server.errors import Invalid, Malformed
from rheostat_server.outcomes.validate import read_batch, service_text

ROW = {"ramp": "r", "epoch": 1, "exposure_ppm": 10, "arm": "control", "variant": "off"}


def a_body(**changes: Any) -> bytes:
    return json.dumps({"instance": "0" * 32, "sequence": 1, **changes}).encode()


def test_a_whole_batch_is_read() -> None:
    """What an SDK sends is taken as it is, with fields that this version does not know ignored."""
    batch = read_batch(
        a_body(
            service="shop",
            rows=[{**ROW, "ages": [9, 1], "started": 2, "ended": 2, "bad": 1, "later": True}],
            failing={"r": {"limit": 1.0, "units": [["00000000000000ff", -1, 1, 5]]}},
            sampled={"r": {"units": [["00000000000000ff", 0, 1, 77, True, 0]]}},
            evaluations={"checkout": {"on": 3, "": 1}},
            orphans=[
                {
                    "instance": "1" * 32,
                    "replaced": True,
                    "requests": [["r", "00000000000000ff", -2, 1, 500, 1]],
                }
            ],
        )
    )

    assert batch.rows[0].bad == 1
    assert batch.failing["r"].units[0].entry == -1
    assert batch.sampled["r"].units[0].bad
    assert batch.orphans[0].requests[0].note == 1
    assert batch.evaluations == {"checkout": {"on": 3, "": 1}}


@pytest.mark.parametrize(
    "changes",
    [
        {"instance": "0" * 31},
        {"instance": "G" * 32},
        {"sequence": 0},
        {"sequence": "1"},
        {"service": "a\u0000b"},
        {"service": "x" * 129},
        {"rows": [{**ROW, "ended": 1, "bad": 2}]},
        {"rows": [{**ROW, "ended": 2, "bad": 1, "timeouts": 2}]},
        {"rows": [{**ROW, "ended": -1}]},
        {"rows": [{**ROW, "ended": 1e3}]},
        {"rows": [{**ROW, "ages": [1, 2]}]},
        {"rows": [{**ROW, "exposure_ppm": 1_000_001}]},
        {"rows": [{**ROW, "arm": "third"}]},
        {"failing": {"r": {"units": [["xyz", 0, 1, 0]]}}},
        {"failing": {"r": {"units": [["00000000000000ff", -3, 1, 0]]}}},
        {"sampled": {"r": {"units": [["00000000000000ff", 0, 1, -1]]}}},
        {"sampled": {"r": {"units": [["00000000000000ff", 0, 1, 10**19]]}}},
        {"sampled": {"r": {"units": [["00000000000000ff", 0, 1, 1, True, -1]]}}},
        {"sampled": {"r": {"units": [["raw:", 0, 1, 1]]}}},
        {"sampled": {"r": {"limit": 1.5}}},
        {"failing": {"r": {"limit": -0.1}}},
        {"failing": {"r": {"units": [["raw:" + "x" * 1025, 0, 1, 0]]}}},
        {"orphans": [{"instance": "1" * 32, "requests": [["r", "raw:user-1", 0, 1, 0, 1]]}]},
        {"rows": [{**ROW, "ended": 2, "slow": {"100": 3}}]},
        {"rows": [{**ROW, "ended": 2, "slow": {"0": 1}}]},
        {"rows": [{**ROW, "ended": 2, "slow": {"soon": 1}}]},
        {"orphans": [{"instance": "0" * 32}]},
        {"orphans": [{"instance": "1" * 31}]},
        {"orphans": [{"instance": "1" * 32, "requests": [["r", "xyz", 0, 1, 0, 1]]}]},
        {"orphans": [{"instance": "1" * 32, "requests": [["r", "00000000000000ff", 0, 1, 0, 0]]}]},
        {"orphans": [{"instance": "1" * 32, "requests": [["r", "00000000000000ff", -3, 1, 0, 1]]}]},
        {"evaluations": {"no such key!": {"on": 1}}},
        {"evaluations": {"checkout": {"on": -1}}},
        {"applied": {"generation": -1}},
    ],
)
def test_a_faulty_batch_is_refused_by_the_place_of_its_fault(changes: dict[str, Any]) -> None:
    """A batch that the sums or the database would choke on is refused, and the fault says where."""
    with pytest.raises(Invalid) as caught:
        read_batch(a_body(**changes))

    assert caught.value.faults[0].path.startswith(next(iter(changes)))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", Malformed),
        (b"{", Malformed),
        (b"\xff", Malformed),
        (b'{"instance":"\xff"}', Malformed),
        (b'{"instance":"\\ud800"}', Malformed),
        (b'{"more":' * 100_000, Malformed),
        (b"[]", Invalid),
        (b"[" * 100_000, Invalid),
    ],
)
def test_what_is_no_batch_is_refused(body: bytes, kind: type[Exception]) -> None:
    """Bytes that are not JSON are malformed; JSON that is not a batch has faults."""
    with pytest.raises(kind):
        read_batch(body)


def test_a_services_name_is_kept_printable_and_short() -> None:
    """A name from outside loses what PostgreSQL cannot store, and its length beyond 128."""
    assert service_text(" shop\u0000\n ") == "shop"
    assert len(service_text("x" * 500)) == 128
