"""A client that cannot follow anything says so where somebody reads it."""

import subprocess
import sys


def test_a_client_without_settings_is_heard_without_any_logging_set_up() -> None:
    """An application that never configured logging still sees on standard error what is missing."""
    program = "from rheostat import Rheostat; flags = Rheostat(); flags.boolean('x', default=False); flags.close()"

    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PATH": ""}, timeout=60
    )

    assert "RHEOSTAT_URL" in ran.stderr
    assert ran.stdout == ""
