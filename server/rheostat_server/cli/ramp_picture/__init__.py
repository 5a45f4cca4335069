"""The parts of a ramp's picture: each a pure function from the API's view of the ramp to lines of text."""
