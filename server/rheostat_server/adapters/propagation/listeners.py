"""Who wants to hear of changes on this node."""

import structlog

from rheostat_server.ports.propagation import Forget, Heard

log = structlog.get_logger()


class Listeners:
    """Callbacks that each hint goes to."""

    def __init__(self) -> None:
        self._heard: dict[object, Heard] = {}

    def add(self, heard: Heard) -> Forget:
        """Call it from now on, until the answer is called."""
        token = object()
        self._heard[token] = heard

        def forget() -> None:
            self._heard.pop(token, None)

        return forget

    def tell(self, changed: tuple[int, ...]) -> None:
        """Pass a hint on. A listener that raises does not keep it from the others."""
        for heard in tuple(self._heard.values()):
            try:
                heard(changed)
            except Exception:
                log.exception("listener_failed")


def hint_text(changed: tuple[int, ...]) -> str:
    """Return a hint as it is sent: ids joined by commas."""
    return ",".join(map(str, changed))


def hint_of(text: str) -> tuple[int, ...]:
    """Read a hint; one that makes no sense counts as "something changed"."""
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        return ()
