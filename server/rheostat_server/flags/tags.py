"""What a document says of itself for people: its tags. Pure."""

from rheostat_server.faults import QUOTE_IT, Fields, items_at, type_name


def tags_at(fields: Fields) -> tuple[str, ...]:
    """Return the tags, each once."""
    if fields.raw("tags") is None:
        return ()
    tags: list[str] = []
    for where, tag in items_at(fields.raw("tags"), fields.at("tags"), fields.faults):
        if not isinstance(tag, str):
            fields.faults.add(where, f"a tag is text, not {type_name(tag)}", QUOTE_IT)
        elif not 0 < len(tag) <= 128:
            fields.faults.add(where, "a tag has 1 to 128 characters")
        elif tag not in tags:
            tags.append(str(tag))
    return tuple(tags)
