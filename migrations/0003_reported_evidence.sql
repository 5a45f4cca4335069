-- compatible_from: 1

-- How a ramp's sampled units are thinned: which share of hashes is reported, and what the present window came to.
CREATE TABLE sampling (
    ramp_id  uuid             PRIMARY KEY REFERENCES ramps ON DELETE CASCADE,
    win      bigint           NOT NULL,
    share    double precision NOT NULL,
    counted  bigint           NOT NULL,
    estimate double precision NOT NULL
);

-- Of the units that arrived while arming, how many each level exposes first (ppm; -1: none does).
CREATE TABLE arming_arrivals (
    ramp_id   uuid   NOT NULL REFERENCES ramps ON DELETE CASCADE,
    level_ppm bigint NOT NULL,
    arrivals  bigint NOT NULL,
    PRIMARY KEY (ramp_id, level_ppm)
);

-- Which instance sent rows of a ramp, and whether it fell silent without a goodbye.
CREATE TABLE ramp_reporters (
    ramp_id        uuid   NOT NULL REFERENCES ramps ON DELETE CASCADE,
    instance       text   NOT NULL,
    service        text   NOT NULL,
    last_row_ms    bigint NOT NULL,
    vanished_at_ms bigint,
    PRIMARY KEY (ramp_id, instance)
);

-- What dead processes left open, by the instance that died and the number of its note: each counts once.
CREATE TABLE orphans (
    ramp_id  uuid   NOT NULL REFERENCES ramps ON DELETE CASCADE,
    instance text   NOT NULL,
    note     bigint NOT NULL,
    PRIMARY KEY (ramp_id, instance, note)
);

-- Since when an environment has been heard without a gap: silence before that is nobody's fault.
CREATE TABLE hearing (
    environment_id bigint PRIMARY KEY REFERENCES environments ON DELETE CASCADE,
    since_ms       bigint NOT NULL,
    heard_ms       bigint NOT NULL
);

-- Evaluations of ramping flags by minute (since the epoch), for coverage.
CREATE TABLE recent_evaluations (
    environment_id bigint NOT NULL REFERENCES environments ON DELETE CASCADE,
    flag           text   NOT NULL,
    service        text   NOT NULL,
    minute         bigint NOT NULL,
    times          bigint NOT NULL,
    PRIMARY KEY (environment_id, flag, service, minute)
);
CREATE INDEX recent_evaluations_by_minute ON recent_evaluations (minute);

-- How many units there are, as far as those that were sampled tell: each stands for 1 / limit.
ALTER TABLE sampled_counts ADD COLUMN estimate double precision NOT NULL DEFAULT 0;
