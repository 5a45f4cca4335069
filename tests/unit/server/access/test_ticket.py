"""Tickets: what they let pass, and for how long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat_server.access.ticket import TICKET_MS, believe_ticket, expiry_of, read_ticket, sign_ticket
from rheostat_server.errors import Unauthenticated

KEY = b"k" * 32
TOKEN = "0190c5a2-0000-7000-8000-000000000000"


def test_a_ticket_is_believed_until_it_expires() -> None:
    """Before the moment that it names, and not at it."""
    ticket = read_ticket(sign_ticket(TOKEN, KEY, 5_000))

    assert (ticket.token_id, ticket.expires_at_ms) == (TOKEN, 5_000)
    believe_ticket(ticket, KEY, 4_999)
    with pytest.raises(Unauthenticated, match="has expired"):
        believe_ticket(ticket, KEY, 5_000)


@pytest.mark.parametrize(
    "forged",
    [
        sign_ticket(TOKEN, b"x" * 32, 5_000),
        sign_ticket(TOKEN, KEY, 5_000).replace("5000", "9000"),
        sign_ticket("another", KEY, 5_000).replace("another", TOKEN),
        f"{TOKEN}.5000.é",
    ],
)
def test_a_forged_ticket_is_not(forged: str) -> None:
    """Signed by another key, for another key, or with another time."""
    with pytest.raises(Unauthenticated, match="not one that was given out"):
        believe_ticket(read_ticket(forged), KEY, 0)


@given(
    st.one_of(
        st.text(), st.sampled_from(["", ".", "..", "a.b.c", "a.1.", ".1.c", "a.-1.c", "a.²2.c", "a." + "9" * 17 + ".c"])
    )
)
def test_what_is_no_ticket_is_refused(text: str) -> None:
    """Nothing but ``Unauthenticated`` is raised, whatever comes."""
    with pytest.raises(Unauthenticated):
        believe_ticket(read_ticket(text), KEY, 0)


@given(now_ms=st.integers(0, 2**42), later=st.integers(0, 3 * TICKET_MS), spread=st.binary())
def test_a_new_ticket_is_good_for_one_hour_to_two(now_ms: int, later: int, spread: bytes) -> None:
    """For one context the moment stays the same for an hour, and then is an hour later."""
    expires = expiry_of(now_ms, spread)

    assert now_ms + TICKET_MS <= expires < now_ms + 2 * TICKET_MS
    assert (expiry_of(now_ms + later, spread) - expires) % TICKET_MS == 0
    assert expiry_of(expires - TICKET_MS, spread) == expires


def test_many_contexts_do_not_change_in_one_moment() -> None:
    """Their tickets expire all over the hour."""
    moments = {expiry_of(0, str(number).encode()) // 60_000 for number in range(1_000)}

    assert len(moments) == 60
