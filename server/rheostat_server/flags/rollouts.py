"""Whether an answer is one: a variant to serve, or a rollout. Pure."""

import msgspec

from rheostat.model.document import AnswerDocument, RolloutDocument
from rheostat_server.faults import (
    A_SHARE,
    QUOTE_IT,
    Faults,
    Fields,
    below,
    did_you_mean,
    is_number,
    items_at,
    object_at,
    plain_number,
    share_fault,
    type_name,
)
from rheostat_server.flags.keys import key_at

_ROLLOUT = ("exposure", "split", "fallback", "bucket_by", "salt", "layer", "range")


class Known(msgspec.Struct, frozen=True):
    """What a flag's environments may refer to: its variants. ``None`` while these themselves are faulty."""

    variants: tuple[str, ...] | None


def check_variant(value: object, path: str, known: Known, faults: Faults) -> str | None:
    """Return the variant named; a fault when the flag does not have it."""
    if not isinstance(value, str):
        faults.add(path, f"a variant is named by text, not {type_name(value)}", QUOTE_IT)
        return None
    if known.variants is not None and value not in known.variants:
        faults.add(path, f"the flag has no variant {value}", did_you_mean(value, known.variants))
        return None
    return str(value)


def variant_at(fields: Fields, name: str, known: Known) -> str | None:
    """Return the variant that a field names; ``None`` where it is absent, null or faulty."""
    value = fields.raw(name)
    return None if value is None else check_variant(value, fields.at(name), known, fields.faults)


def check_answer(fields: Fields, known: Known) -> AnswerDocument | None:
    """Return the answer of a rule or a default; ``None`` where it is faulty."""
    if ("serve" in fields) == ("rollout" in fields):
        fields.faults.add(fields.path, "an answer has exactly one of serve and rollout")
        return None
    if "serve" in fields:
        if fields.raw("serve") is None:
            fields.fault("serve", "a variant is named by text, not null")
        return AnswerDocument(serve=variant_at(fields, "serve", known))
    return AnswerDocument(rollout=check_rollout(fields.raw("rollout"), fields.at("rollout"), known, fields.faults))


def check_rollout(data: object, path: str, known: Known, faults: Faults) -> RolloutDocument:
    """Return the rollout, with what is faulty left at a default."""
    fields = Fields(data, path, faults, _ROLLOUT)
    if isinstance(data, dict):
        fields.required("exposure", "split")
    exposure = fields.percent("exposure")
    if "exposure" in fields and fields.raw("exposure") is None:
        fields.fault("exposure", "an exposure is a percentage, 0 to 100")
    bucket_by = fields.text("bucket_by", longest=256)
    if bucket_by == "":
        fields.fault("bucket_by", "an attribute has a name")
    return RolloutDocument(
        exposure=0 if exposure is None else exposure,
        split=_check_split(fields, known) if "split" in fields else {},
        fallback=variant_at(fields, "fallback", known),
        bucket_by=bucket_by,
        salt=key_at(fields, "salt", "salt"),
        layer=_check_layer(fields),
        range=_check_range(fields),
    )


def _check_layer(fields: Fields) -> str | None:
    if fields.raw("layer") is None:
        if fields.raw("range") is not None:
            fields.fault("range", "only a rollout in a layer has a range", "name the layer, or leave the range out")
        return None
    for name in ("salt", "bucket_by"):
        if fields.raw(name) is not None:
            fields.fault(name, "the layer fixes this for all rollouts in it", "leave it out")
    if fields.raw("range") is None:
        fields.fault("range", "a rollout in a layer says which range of it is its own", "such as range: [0, 50]")
    return key_at(fields, "layer", "layer's key")


def _check_range(fields: Fields) -> tuple[int | float, int | float] | None:
    """Return from and to in percent; ``None`` where there is none, or where it is faulty."""
    raw = fields.raw("range")
    if raw is None:
        return None
    if not isinstance(raw, (list, tuple)) or len(raw) != 2:
        fields.fault("range", "a range is a list of two percentages", "such as [0, 33.3333]")
        return None
    bounds: list[int | float] = []
    for where, value in items_at(raw, fields.at("range"), fields.faults):
        if not is_number(value):
            fields.faults.add(where, f"this is {type_name(value)}, not a finite number")
        elif (fault := share_fault(value)) is not None:
            fields.faults.add(where, fault, A_SHARE)
        else:
            bounds.append(plain_number(value))
    if len(bounds) < 2:
        return None
    low, high = bounds
    if low >= high:
        fields.fault("range", "a range ends above where it begins")
        return None
    return low, high


def _check_split(fields: Fields, known: Known) -> dict[str, int | float]:
    path, faults = fields.at("split"), fields.faults
    raw = fields.raw("split")
    split: dict[str, int | float] = {}
    if not isinstance(raw, dict):
        object_at(raw, path, faults)
        return split
    sound = True
    for variant, weight in raw.items():
        where = below(path, variant)
        name = check_variant(variant, where, known, faults)
        if not is_number(weight) or weight < 0:
            faults.add(where, "a weight is a number of 0 or more", "0 keeps a variant out of the split")
            sound = False
        elif weight > 1e9 or 0 < weight < 1e-9:
            faults.add(
                where, "a weight above 0 is between 1e-9 and 1e9", "only how weights compare counts: 1 and 3, say"
            )
            sound = False
        elif name is not None:
            split[name] = plain_number(weight)
    if sound and not any(is_number(weight) and weight > 0 for weight in raw.values()):
        faults.add(path, "at least one variant has a weight above 0", "such as split: {on: 1}")
    return split
