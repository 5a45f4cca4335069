"""Patterns that are plain text at heart: those need no search, or are told by a piece of text."""

from collections.abc import Callable, Iterable

from rheostat.engine.matcher.syntax import Chain, Chars, Choice, Edge, Node, Repeat

_MOST_TEXTS = 32


def plain_search(tree: Node) -> Callable[[str], bool] | None:
    """Return what judges a text where the pattern is a few texts, perhaps at an edge; else ``None``."""
    parts = trimmed(tree)
    at_begin, at_end = parts[:1] == [Edge.BEGIN], parts[-1:] == [Edge.END]
    found = texts(Chain(tuple(parts[at_begin : len(parts) - at_end])))
    if found is None:
        return None
    if at_begin and at_end:
        return frozenset(found).__contains__
    if at_begin:
        return lambda text: text.startswith(found)
    if at_end:
        return lambda text: text.endswith(found)
    return _holder(found)


def _holder(found: tuple[str, ...]) -> Callable[[str], bool]:
    if len(found) == 1:
        only = found[0]
        return lambda text: only in text

    def holds(text: str) -> bool:
        for one in found:  # noqa: SIM110 - a generator would cost more than the search
            if one in text:
                return True
        return False

    return holds


def needle(tree: Node) -> str:
    """Return the longest plain text that stands in every match; empty where there is none."""
    longest = run = ""
    for part in _parts(tree):
        char = _single(part)
        run = run + char if char else ""
        longest = max(longest, run, key=len)
    return longest


def trimmed(tree: Node) -> list[Node]:
    """Return the parts of the pattern without what may be missing at a side where no edge is asked for.

    ``.*a.*`` matches where ``a`` does.
    """
    parts = _parts(tree)
    while parts and _may_be_missing(parts[0]):
        parts = parts[1:]
    while parts and _may_be_missing(parts[-1]):
        parts = parts[:-1]
    return parts


def texts(node: Node) -> tuple[str, ...] | None:
    """Return all texts that the node matches as a whole, if they are few."""
    match node:
        case Chars(ranges) if sum(high - low + 1 for low, high in ranges) <= _MOST_TEXTS:
            return tuple(chr(code) for low, high in ranges for code in range(low, high + 1))
        case Chain(parts):
            return _joined(parts)
        case Choice(parts):
            return _either(map(texts, parts))
        case Repeat(body, 0, 1):
            return _either((("",), texts(body)))
        case Repeat(body, least, most) if least == most:
            return _joined((body,) * least)
        case _:
            return None


def _joined(parts: Iterable[Node]) -> tuple[str, ...] | None:
    found: tuple[str, ...] = ("",)
    for part in parts:
        more = texts(part)
        if more is None or len(found) * len(more) > _MOST_TEXTS:
            return None
        found = tuple(one + other for one in found for other in more)
    return found


def _either(choices: Iterable[tuple[str, ...] | None]) -> tuple[str, ...] | None:
    found: tuple[str, ...] = ()
    for more in choices:
        if more is None or len(found) + len(more) > _MOST_TEXTS:
            return None
        found += more
    return found


def _parts(tree: Node) -> list[Node]:
    return list(tree.parts) if isinstance(tree, Chain) else [tree]


def _may_be_missing(node: Node) -> bool:
    return isinstance(node, Repeat) and node.least == 0


def _single(node: Node) -> str:
    """Return the one character that the node matches; empty where it may be another."""
    match node:
        case Chars(((low, high),)) if low == high:
            return chr(low)
        case _:
            return ""
