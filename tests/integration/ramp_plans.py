"""The plans of the ramps that anything is done to, in any order."""

from typing import Any

WINDOWS = [
    {"from": "00:00", "to": "00:01"},
    {"from": "00:02", "to": "00:04"},
    {"from": "00:15", "to": "00:17"},
    {"from": "06:00", "to": "06:02"},
    {"from": "06:15", "to": "07:00"},
    {"from": "12:00", "to": "13:00"},
]
"""Open when a test begins, and shut soon; and again by turns."""
SHORT: dict[str, Any] = {"min_dwell": "0s", "soak": "2s"}
PLANS: dict[str, dict[str, Any]] = {
    "with a pre-flight": {**SHORT, "preflight": "3s", "steps": [10, 50, 100]},
    "at once": {**SHORT, "preflight": "0s", "max_dwell": "1s", "steps": [20, 60], "holdback": 0},
    "gated": {**SHORT, "preflight": "0s", "steps": [{"exposure": 10, "gate": "manual"}, 50, 97], "keep_holdback": True},
    "kills the flag": {**SHORT, "preflight": "2s", "steps": [25, 90], "kill": "flag", "on_blind": "retreat"},
    "unguarded": {**SHORT, "unguarded": True, "min_dwell": "1s", "steps": [30, 80]},
    "few users": {**SHORT, "preflight": "0s", "users": 40, "steps": [50, 100], "holdback": 0},
    "with a ceiling": {
        **SHORT,
        "preflight": "2s",
        "steps": [10, 50, 100],
        "guardrails": [{"metric": "request-success-rate", "threshold": 95}],
    },
    "by region": {
        **SHORT,
        "preflight": "2s",
        "steps": [25, 90],
        "strategy": "rolling",
        "by": "region",
        "values": ["eu"],
    },
    "by region and time": {
        **SHORT,
        "unguarded": True,
        "min_dwell": "1s",
        "steps": [30, 80],
        "strategy": "rolling",
        "by": "region",
        "values": ["us", "eu"],
        "others": False,
        "timezone": "UTC",
        "advance_windows": WINDOWS,
    },
    "with a window": {**SHORT, "preflight": "2s", "steps": [20, 60], "timezone": "UTC", "advance_windows": WINDOWS},
}
"""Names are for the report of a failure."""
