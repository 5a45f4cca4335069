-- compatible_from: 1

-- Units that had a bad sample in a window of even number: each counts once, to each measure by itself. Bit 0 of measures:
-- it failed; bit i + 1: it was slower than the ramp's i-th bound.
CREATE TABLE badly_sampled_units (
    ramp_id  uuid   NOT NULL REFERENCES ramps ON DELETE CASCADE,
    unit     bytea  NOT NULL,
    measures bigint NOT NULL,
    PRIMARY KEY (ramp_id, unit)
);
