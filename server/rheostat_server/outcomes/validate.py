"""What a batch must be like before it is counted. Pure.

One batch that the database refuses would take down the group that it is counted with; so all that PostgreSQL or
the sums could choke on is refused here.
"""

import re
from collections.abc import Iterator

import msgspec

from rheostat.model.outcome import NEVER, RAW, Batch
from rheostat_server.errors import Fault, Invalid, Malformed

_INSTANCE = re.compile(r"[0-9a-f]{32}").fullmatch
_HASHED = re.compile(r"[0-9a-f]{16}").fullmatch
RAW_LENGTH = 1_024
"""The most characters of a unit that is sent as it is."""
_BOUND = re.compile(r"[1-9][0-9]{0,8}").fullmatch
_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}").fullmatch
MOST = 10**12
"""No count, age or number in a batch is above this."""
SERVICE_LENGTH = 128
FAULTS = 20
"""So many are listed."""

_DECODER = msgspec.json.Decoder(Batch)


def read_batch(body: bytes) -> Batch:
    """Decode and check a batch. Fields that this version does not know are ignored.

    Raises:
        Malformed: it is not JSON.
        Invalid: it has faults.
    """
    try:
        batch = _DECODER.decode(body)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        raise Invalid([Fault(path.rstrip("`").lstrip("."), message)], "the batch") from error
    except RecursionError as error:
        raise Malformed("the batch is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise Malformed("the batch is not UTF-8") from error
    except msgspec.DecodeError as error:
        raise Malformed(f"the batch is not JSON: {error}") from error
    faults: list[Fault] = []
    for fault in _faults(batch):
        faults.append(fault)
        if len(faults) == FAULTS:
            break
    if faults:
        raise Invalid(faults, "the batch")
    return batch


def service_text(text: str) -> str:
    """Return a service's name as it is kept: printable, at most 128 characters."""
    return "".join(letter for letter in text if letter.isprintable())[:SERVICE_LENGTH].strip()


def _faults(batch: Batch) -> Iterator[Fault]:
    if not _INSTANCE(batch.instance):
        yield Fault("instance", "expected 32 lower-case hex digits")
    if not 1 <= batch.sequence <= MOST:
        yield Fault("sequence", "expected a number of at least 1")
    if batch.service != service_text(batch.service):
        yield Fault("service", f"expected at most {SERVICE_LENGTH} printable characters")
    for name, identity in (("identity", batch.identity), ("applied", batch.applied)):
        if not (0 <= identity.generation < 2**62 and 0 <= identity.revision < 2**62):
            yield Fault(name, "expected a generation and a revision of at least 0")
    ages = batch.applied.ages
    if ages and (len(ages) != len(batch.applied.kills) or not all(0 <= age <= MOST for age in ages)):
        yield Fault("applied.ages", "expected an age in ms for each of the kills")
    yield from _row_faults(batch)
    yield from _unit_faults(batch)
    yield from _orphan_faults(batch)
    for flag, variants in batch.evaluations.items():
        if not _NAME(flag):
            yield Fault("evaluations", f"{flag[:40]!r} is not a flag key")
        for variant, count in variants.items():
            if variant and not _NAME(variant):
                yield Fault(f"evaluations.{flag}", f"{variant[:40]!r} is not a variant")
            if not 0 <= count <= MOST:
                yield Fault(f"evaluations.{flag}.{variant}", "expected a count of at least 0")


def _row_faults(batch: Batch) -> Iterator[Fault]:
    for index, row in enumerate(batch.rows):
        path = f"rows[{index}]"
        oldest, newest = row.ages
        if not 0 <= newest <= oldest <= MOST:
            yield Fault(f"{path}.ages", "expected the oldest and the newest age in ms, the oldest first")
        if not 0 <= row.timeouts <= row.bad <= row.ended <= MOST:
            yield Fault(path, "expected 0 ≤ timeouts ≤ bad ≤ ended")
        if not 0 <= row.started <= MOST:
            yield Fault(f"{path}.started", "expected a count of at least 0")
        for bound, slow in row.slow.items():
            if not _BOUND(bound) or not 0 <= slow <= row.ended:
                yield Fault(f"{path}.slow", "expected, by bounds in ms as text, counts of 0 … ended")
        if not 0 <= row.epoch <= MOST or not 0 <= row.exposure_ppm <= 1_000_000:
            yield Fault(path, "expected an epoch of at least 0 and an exposure of 0 to 1 000 000 ppm")


def _unit_faults(batch: Batch) -> Iterator[Fault]:
    for name, parts in (("failing", batch.failing), ("sampled", batch.sampled)):
        for ramp, part in parts.items():
            if not 0 <= part.limit <= 1:
                yield Fault(f"{name}.{ramp}.limit", "expected a share of 0 … 1")
    for ramp, failing in batch.failing.items():
        for index, unit in enumerate(failing.units):
            if not (
                _names_unit(unit.unit)
                and 0 <= unit.age_ms <= MOST
                and 0 <= unit.epoch <= MOST
                and NEVER <= unit.entry <= MOST
            ):
                yield Fault(
                    f"failing.{ramp}.units[{index}]", "expected [16 hex digits or raw:text, entry, epoch, age in ms]"
                )
    for ramp, sampled in batch.sampled.items():
        for index, seen in enumerate(sampled.units):
            if not (
                _names_unit(seen.unit)
                and 0 <= seen.window <= MOST
                and 0 <= seen.epoch <= MOST
                and NEVER <= seen.entry <= MOST
                and 0 <= seen.slow <= MOST
            ):
                yield Fault(
                    f"sampled.{ramp}.units[{index}]",
                    "expected [16 hex digits or raw:text, entry, epoch, window, bad, slow]",
                )


def _orphan_faults(batch: Batch) -> Iterator[Fault]:
    for place, dead in enumerate(batch.orphans):
        path = f"orphans[{place}]"
        if not _INSTANCE(dead.instance) or dead.instance == batch.instance:
            yield Fault(f"{path}.instance", "expected the 32 lower-case hex digits of another instance")
        for index, orphan in enumerate(dead.requests):
            if not (
                _HASHED(orphan.unit)
                and 0 <= orphan.age_ms <= MOST
                and 0 <= orphan.epoch <= MOST
                and NEVER <= orphan.entry <= MOST
                and 1 <= orphan.note <= MOST
            ):
                expected = "expected [ramp, 16 hex digits, entry, epoch, age in ms, note of at least 1]"
                yield Fault(f"{path}.requests[{index}]", expected)


def _names_unit(text: str) -> bool:
    return bool(_HASHED(text)) or (text.startswith(RAW) and len(RAW) < len(text) <= len(RAW) + RAW_LENGTH)
