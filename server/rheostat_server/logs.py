"""How the server's log is written: lines of events with fields, to standard error."""

import logging
import sys

import structlog

from rheostat_server.errors import StartupRefused

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def set_up_logs(level: str) -> None:
    """Write events of this level and above.

    Raises:
        StartupRefused: there is no such level.
    """
    if level.lower() not in _LEVELS:
        raise StartupRefused(f"RHEOSTAT_LOG_LEVEL: {level!r} is none of {', '.join(_LEVELS)}")
    number = _LEVELS[level.lower()]
    people = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if people else structlog.processors.format_exc_info,
            *([] if people else [structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"])]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # What libraries say of themselves is of interest only when something is wrong.
    logging.basicConfig(
        level=max(number, logging.WARNING), stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
    )
