"""Numbers as people write them in documents. Pure."""


def plain(number: float) -> int | float:
    """Return a whole number without its ``.0``: documents say 10, not 10.0."""
    return int(number) if float(number).is_integer() else number
