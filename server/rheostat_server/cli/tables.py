"""How lists look in the terminal."""

from rich.table import Table


def a_table(*columns: str) -> Table:
    """Return a table without lines, so that it can be cut and pasted."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
