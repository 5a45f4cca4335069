"""Which exposure a flag's document has to declare so that a promoted ramp is not needed any more. Pure."""

from rheostat.model.shares import TOTAL_PPM


def exposure_to_declare(exposure_ppm: int, holdback_ppm: int, width_ppm: int) -> int:
    """Return the exposure under which exactly those are exposed who are so by a ramp with this holdback.

    A document has no holdback, but held-back users are the last on the line: where the exposure reaches them, a lower
    one leaves out the same.
    """
    exposed = width_ppm * exposure_ppm // TOTAL_PPM
    free = width_ppm - width_ppm * holdback_ppm // TOTAL_PPM
    # The least exposure that gives as many places: the line has no more of them than there are exposures.
    return exposure_ppm if exposed <= free else -(-free * TOTAL_PPM // width_ppm)
