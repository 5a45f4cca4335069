"""``python -m rheostat_server``, and the command ``rheostat``."""

import sys


def main() -> None:
    """Run the command."""
    try:
        # Not at the top: Ctrl-C while the parts are being loaded is no error either.
        from rheostat_server.cli.main import main as run_command

        run_command()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
