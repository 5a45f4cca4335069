"""``python -m rheostat_server``, and the command ``rheostat``."""

from rheostat_server.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
