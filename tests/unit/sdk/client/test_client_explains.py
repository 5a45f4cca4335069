"""Explanations from the client: what it answers now, and why."""

import msgspec

from rheostat import Context, ErrorCode, Rheostat
from rheostat.testing import FakeRheostat
from tests.builders import a_flag, a_rollout


def test_an_explanation_ends_in_what_the_client_answers() -> None:
    """The walk of the bound context ends in the variant of the evaluation, with the revision served."""
    flags = FakeRheostat({"checkout": a_flag(rollout=a_rollout(500_000))})

    for user in range(20):
        with flags.bind(Context(f"user-{user}")):
            explanation = flags.explain("checkout")
            details = flags.evaluate("checkout", None)
        assert explanation.evaluation.variant == details.variant
        assert explanation.identity == details.identity
        assert explanation.steps[-1].rollout is not None
        assert explanation.steps[-1].rollout.unit == f"user-{user}"
    assert msgspec.json.decode(msgspec.json.encode(explanation))["flag"] == "checkout"


def test_a_client_that_knows_nothing_says_so() -> None:
    """Without any snapshot the explanation is one step, and its evaluation is not ready."""
    with Rheostat(url=None, sdk_key=None) as flags:
        explanation = flags.explain("checkout", Context("user-1"))

    assert explanation.evaluation.error_code is ErrorCode.PROVIDER_NOT_READY
    assert [step.text for step in explanation.steps] == ["no snapshot has been received yet"]
