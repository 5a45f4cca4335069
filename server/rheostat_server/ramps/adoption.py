"""Which exposure a flag's document has to declare so that a promoted ramp is not needed any more. Pure."""

from rheostat.model.shares import TOTAL_PPM


def exposure_to_declare(exposure_ppm: int, holdback_ppm: int, width_ppm: int) -> int | None:
    """Return the exposure under which exactly those are exposed who are so by a ramp with this holdback.

    A document has no holdback, but held-back users are the last on the line: where the exposure reaches them, a lower
    one leaves out the same. ``None`` where none does: in a layer's range the two may round apart.
    """
    exposed = width_ppm * exposure_ppm // TOTAL_PPM
    free = width_ppm - width_ppm * holdback_ppm // TOTAL_PPM
    if exposed <= free:
        return exposure_ppm
    # The least exposure that gives as many places; its share is exact to a millionth.
    least = -(-free * TOTAL_PPM // width_ppm)
    return least if width_ppm * least // TOTAL_PPM == free else None
