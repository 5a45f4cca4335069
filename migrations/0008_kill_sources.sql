-- compatible_from: 1

-- Secrets by which other systems may kill. Empty lists: any environment, any flag of the project.
CREATE TABLE hook_secrets (
    id              uuid   PRIMARY KEY,
    project_id      bigint NOT NULL REFERENCES projects ON DELETE CASCADE,
    environments    text[] NOT NULL,
    flags           text[] NOT NULL,
    hash            bytea  NOT NULL UNIQUE,
    hint            text   NOT NULL,
    label           text   NOT NULL,
    created_at_ms   bigint NOT NULL,
    expires_at_ms   bigint,
    last_used_at_ms bigint,
    revoked_at_ms   bigint
);

-- A number for each live ramp that goes up whenever a controller has looked at it. It changes every second: no index but
-- the key's, and room on the page, so that no write touches an index; and no reference, so that none locks a ramp.
-- alarmed: the beat at which somebody was told.
CREATE TABLE ramp_beats (
    ramp_id uuid   PRIMARY KEY,
    beat    bigint NOT NULL,
    alarmed bigint
) WITH (fillfactor = 50);

-- When an instance was first heard of, the newest time of which it has spoken, and whether it says what it applied.
ALTER TABLE instances ADD COLUMN since_ms bigint NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN said_ms bigint NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN acknowledges boolean NOT NULL DEFAULT false;

-- Which instance applied a kill, and when it last showed the killed variant to somebody new. before: it had been heard of
-- before the kill, so that the time until it applied it is the kill's way.
CREATE TABLE kill_readback (
    kill_id       uuid    NOT NULL REFERENCES kills ON DELETE CASCADE,
    instance      text    NOT NULL,
    service       text    NOT NULL,
    before        boolean NOT NULL,
    applied_at_ms bigint,
    treated_at_ms bigint,
    PRIMARY KEY (kill_id, instance)
);

-- Kills of which somebody was told that exposure did not fall.
CREATE TABLE unconfirmed_kills (
    kill_id uuid   PRIMARY KEY REFERENCES kills ON DELETE CASCADE,
    at_ms   bigint NOT NULL
);
CREATE INDEX kills_by_time ON kills (at_ms);
