"""How other people's metrics say what a guardrail asks. Pure.

One place for foreign names: the presets here, and those of the file that ``RHEOSTAT_LABEL_MAP`` names.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from rheostat_server.faults import Faults, Fields, object_at
from rheostat_server.flags.keys import is_key, key_fault
from rheostat_server.ramps.promql import PromqlError, matchers_of

ARMS: Final = ("treatment", "control")
_SUCH_ARMS: Final = "such as {treatment: [canary], control: [stable]}"
_FIELDS: Final = ("requests", "bad", "duration", "unit", "select", "arm_label", "arms")


class MetricMap(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Names of one kind of metrics.

    ``requests`` is the counter of requests that ended; those of them are bad whose labels fulfil ``bad`` (label
    conditions). ``duration`` is a classic histogram's name without ``_bucket``, its bounds in ``unit``. ``select`` are
    label conditions that always hold; a guardrail's own on the same label replace them. ``arm_label`` and ``arms`` say
    which series are whose; without them the metrics know the whole service alone.
    """

    requests: str
    bad: str
    duration: str | None = None
    unit: Literal["s", "ms"] = "s"
    select: str = ""
    arm_label: str | None = None
    arms: dict[str, tuple[str, ...]] = {}


PRESETS: Final[Mapping[str, MetricMap]] = {
    # Both ends of a call report it: with both, each request would count twice.
    "istio": MetricMap(
        requests="istio_requests_total",
        bad='response_code=~"5.."',
        duration="istio_request_duration_milliseconds",
        unit="ms",
        select='reporter="destination"',
    ),
    "nginx-ingress": MetricMap(
        requests="nginx_ingress_controller_requests",
        bad='status=~"5.."',
        duration="nginx_ingress_controller_request_duration_seconds",
    ),
    "starlette-exporter": MetricMap(
        requests="starlette_requests_total",
        bad='status_code=~"5.."',
        duration="starlette_request_duration_seconds",
    ),
    # It may group codes as 5xx.
    "fastapi-instrumentator": MetricMap(
        requests="http_requests_total",
        bad='status=~"5.."',
        duration="http_request_duration_seconds",
    ),
    "opentelemetry-http": MetricMap(
        requests="http_server_request_duration_seconds_count",
        bad='http_response_status_code=~"5.."',
        duration="http_server_request_duration_seconds",
    ),
}
"""What is shipped. None of these metrics knows a flag's arms by itself."""


def label_map_of(data: object) -> dict[str, MetricMap]:
    """Return the maps that a file's document gives, by name, with the presets that it does not replace.

    Raises:
        Invalid: it has faults; all are listed.
    """
    faults = Faults()
    found = dict(PRESETS)
    for name, one in object_at(data, "", faults).items():
        if not is_key(name):
            faults.add(name, key_fault("map's name"), "such as shop-gateway")
        elif (read := _map(one, name, faults)) is not None:
            found[name] = read
    faults.raise_any("the label map")
    return found


def check_arms(fields: Fields) -> dict[str, tuple[str, ...]]:
    """Return which values of the arm's label are which arm; faults where they say no such thing."""
    if fields.raw("arms") is None:
        return {}
    arms: dict[str, tuple[str, ...]] = {}
    path, before = fields.at("arms"), len(fields.faults)
    given = object_at(fields.raw("arms"), path, fields.faults)
    for name, value in given.items():
        values = value if isinstance(value, list) else [value]
        if name not in ARMS:
            fields.faults.add(f"{path}.{name}", "there is no such arm", "treatment or control; a holdback is control")
        elif not values or not all(isinstance(one, str) for one in values):
            fields.faults.add(
                f"{path}.{name}", "an arm is a value of the label, or a list of values, as text", _SUCH_ARMS
            )
        else:
            arms[name] = tuple(values)
    if len(fields.faults) == before:
        if set(arms) != set(ARMS):
            fields.fault("arms", "both arms are named: treatment and control", _SUCH_ARMS)
        elif set(arms["treatment"]) & set(arms["control"]):
            fields.fault("arms", "a value is of one arm", _SUCH_ARMS)
    return arms


def label_conditions(fields: Fields, name: str) -> str:
    """Return label conditions as they were written; a fault where they do not parse."""
    text = fields.text(name, longest=4096) or ""
    try:
        matchers_of(text)
    except PromqlError as error:
        fields.fault(name, str(error), error.hint)
    return text


def _map(data: object, path: str, faults: Faults) -> MetricMap | None:
    before = len(faults)
    fields = Fields(data, path, faults, _FIELDS)
    if isinstance(data, Mapping):
        fields.required("requests", "bad")
    unit: Any = fields.choice("unit", ("s", "ms")) or "s"
    read = MetricMap(
        requests=fields.text("requests", longest=256) or "",
        bad=label_conditions(fields, "bad"),
        duration=fields.text("duration", longest=256),
        unit=unit,
        select=label_conditions(fields, "select"),
        arm_label=fields.text("arm_label", longest=256),
        arms=check_arms(fields),
    )
    if read.arms and read.arm_label is None:
        fields.fault("arm_label", "arms are values of a label: name it", "arm_label: version")
    return read if len(faults) == before else None
