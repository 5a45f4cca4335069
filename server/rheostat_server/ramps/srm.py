"""Sample ratio mismatch: whether the arms have as many users as the exposure says."""

import math

LOG_SRM_ALARM = math.log(1000.0)
"""log E from which the arms' sizes are called wrong."""

_PRIOR_UNITS = 1000.0


def log_srm(treatment: int, control: int, x: float) -> float:
    """Return log E of these distinct units against the known treated share x; 0 where x leaves one arm empty.

    E = B(a + N_t, b + N_c) / (B(a, b)·x^N_t·(1 - x)^N_c) with a = 1000·x, b = 1000·(1 - x): a martingale while units
    fall to the arms as x says, so P(ever E ≥ 1000) ≤ 0.1 %. Source: Beta mixture of Lindon & Malek, NeurIPS 2022.
    """
    if not 0 < x < 1:
        return 0.0
    a, b = _PRIOR_UNITS * x, _PRIOR_UNITS * (1 - x)
    log_ratio = _log_beta(a + treatment, b + control) - _log_beta(a, b)
    return log_ratio - treatment * math.log(x) - control * math.log1p(-x)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
