"""How many units of a ramp are sampled."""

from rheostat_server.outcomes.sampling import LEAST_SHARE, MOST_UNITS, Sampling


def test_few_units_are_all_sampled() -> None:
    """Below the bound the share stays at one, window after window."""
    sampling = Sampling()
    for window in range(1, 5):
        sampling = sampling.after(window, MOST_UNITS)

    assert sampling.share == 1.0


def test_a_window_begins_with_the_share_that_the_one_before_needed() -> None:
    """Ten times too many in one window become the bound in the next."""
    sampling = Sampling(window=1, share=1.0, counted=0, estimate=10 * MOST_UNITS).after(2, 0)

    assert sampling == Sampling(2, 0.1)


def test_a_share_rises_again_when_fewer_come() -> None:
    """The estimate of a window is what was sampled, over the share."""
    busy = Sampling(window=1, share=0.1).after(1, MOST_UNITS // 4)

    assert busy.estimate == MOST_UNITS * 2.5
    assert busy.after(2, 0).share == 0.4


def test_a_window_that_overflows_is_thinned_within() -> None:
    """However many come at once, the share falls by halves until they would have fitted; the estimate keeps all."""
    sampling = Sampling().after(1, 4 * MOST_UNITS)

    assert (sampling.share, sampling.estimate) == (0.25, 4 * MOST_UNITS)
    assert Sampling().after(1, 10**12).share == LEAST_SHARE


def test_a_quiet_window_and_an_old_one_change_no_share() -> None:
    """Nobody in a window says nothing of the next, and what comes late says nothing of now."""
    sampling = Sampling(window=5, share=0.5)

    assert sampling.after(6, 0) == Sampling(6, 0.5)
    assert sampling.after(4, 100) == sampling
