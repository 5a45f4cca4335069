"""Other rules on the very stream that ours sees, at exposures that nobody decides: the table "Why not thresholds"."""

import math
from collections import deque

import msgspec
from loadtests.guard.open_loop import Seen

from rheostat_server.ramps.counting import (
    ArgoMetric,
    ArgoPlan,
    ArgoState,
    ArgoStep,
    Bounds,
    FlaggerCheck,
    FlaggerPlan,
    FlaggerState,
    Phase,
    argo_round,
    flagger_round,
)

_Z_OF_A_PERCENT = 2.3263
_NEVER = 1e12


class Rivals:
    """Watches one stream by all of them. ``killed`` names when (s since the start), and the failing requests till then.

    ``usual`` and ``harm`` are the true rates, which only the best possible rule knows.
    """

    def __init__(self, usual: float, harm: float) -> None:
        self.killed: dict[str, tuple[float, int]] = {}
        self.failed = 0
        self._recent: deque[Seen] = deque()
        self._flagger = (
            FlaggerPlan(checks=(FlaggerCheck(bounds=Bounds(least=99.0)),), threshold=5, step_weight=1),
            FlaggerState(),
        )
        self._argo = (
            ArgoPlan(
                metrics=(
                    ArgoMetric(
                        success=Bounds(least=0.95), interval_s=60, window_s=60, initial_delay_s=60, failure_limit=3
                    ),
                ),
                steps=(ArgoStep(1, _NEVER),),
            ),
            ArgoState(),
        )
        self._began_s: float | None = None
        self._minutes = 0
        self._sums = [0, 0, 0, 0]
        self._log_ratio = 0.0
        self._weights = (math.log(harm / usual), math.log((1 - harm) / (1 - usual))) if harm != usual else None
        self._assumed = (math.log(4), math.log((1 - 4 * usual) / (1 - usual)))

    def see(self, block: Seen) -> None:
        """Look at the next block."""
        if self._began_s is None:
            self._began_s = block.until_s
        self.failed += block.treated_bad
        self._recent.append(block)
        while self._recent[0].until_s <= block.until_s - 60:
            self._recent.popleft()
        self._test(block)
        now_s = block.until_s - self._began_s
        if now_s < 60 * (self._minutes + 1):
            return
        self._minutes += 1
        ended = sum(one.treated for one in self._recent)
        bad = sum(one.treated_bad for one in self._recent)
        share = 1 - bad / ended if ended else None
        plan, state = self._flagger
        state = msgspec.structs.replace(state, weight=block.exposure, phase=Phase.PROGRESSING)
        state = flagger_round(plan, state, [None if share is None else 100 * share])
        self._flagger = (plan, state)
        if state.phase is Phase.ROLLED_BACK:
            self._kill("flagger", block)
        argo, argo_state = self._argo
        argo_state = argo_round(argo, argo_state, [share], now_s)
        self._argo = (argo, argo_state)
        if argo_state.phase is Phase.ROLLED_BACK:
            self._kill("argo", block)

    def _test(self, block: Seen) -> None:
        for i, value in enumerate((block.treated, block.treated_bad, block.others, block.others_bad)):
            self._sums[i] += value
        treated, bad, others, others_bad = self._sums
        if treated and others and bad + others_bad:
            pooled = (bad + others_bad) / (treated + others)
            spread = math.sqrt(max(1e-12, pooled * (1 - pooled) * (1 / treated + 1 / others)))
            if (bad / treated - others_bad / others) / spread > _Z_OF_A_PERCENT:
                self._kill("z", block)
        # Wald's test of the true rates; of a harmless change the one against four times as many failures.
        up, down = self._weights or self._assumed
        self._log_ratio += block.treated_bad * up + (block.treated - block.treated_bad) * down
        if self._log_ratio >= math.log(100):
            self._kill("sprt", block)

    def _kill(self, rule: str, block: Seen) -> None:
        self.killed.setdefault(rule, (block.until_s - (self._began_s or 0), self.failed))
