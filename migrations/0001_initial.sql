-- compatible_from: 1
-- All times are integer milliseconds since the Unix epoch, given by the server's one clock.

CREATE TABLE meta (
    one               boolean PRIMARY KEY DEFAULT true CHECK (one),
    generation        bigint NOT NULL DEFAULT 0,
    system_identifier text   NOT NULL DEFAULT '',
    timeline          bigint NOT NULL DEFAULT 0,
    access_revision   bigint NOT NULL DEFAULT 0
);
INSERT INTO meta DEFAULT VALUES;

CREATE TABLE projects (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key           text   NOT NULL UNIQUE,
    name          text   NOT NULL,
    created_at_ms bigint NOT NULL
);

CREATE TABLE environments (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id    bigint NOT NULL REFERENCES projects ON DELETE CASCADE,
    key           text   NOT NULL,
    name          text   NOT NULL,
    revision      bigint NOT NULL DEFAULT 0,
    created_at_ms bigint NOT NULL,
    UNIQUE (project_id, key)
);

-- What people wrote. The document covers all environments; each version is kept.
CREATE TABLE flags (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id    bigint  NOT NULL REFERENCES projects ON DELETE CASCADE,
    key           text    NOT NULL COLLATE "C",
    version       bigint  NOT NULL,
    document      text    NOT NULL,
    created_at_ms bigint  NOT NULL,
    updated_at_ms bigint  NOT NULL,
    archived_at_ms bigint,
    UNIQUE (project_id, key)
);

CREATE TABLE flag_versions (
    flag_id  bigint NOT NULL REFERENCES flags ON DELETE CASCADE,
    version  bigint NOT NULL,
    document text   NOT NULL,
    action   text   NOT NULL,
    actor    text   NOT NULL,
    note     text,
    at_ms    bigint NOT NULL,
    PRIMARY KEY (flag_id, version)
);

-- Segments and layers: what flags share, the same in all environments; each version is kept. One that is deleted keeps
-- its row, so that a version is never given twice.
CREATE TABLE shared_documents (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id    bigint NOT NULL REFERENCES projects ON DELETE CASCADE,
    kind          text   NOT NULL CHECK (kind IN ('segment', 'layer')),
    key           text   NOT NULL COLLATE "C",
    version       bigint NOT NULL,
    document      text   NOT NULL,
    created_at_ms bigint NOT NULL,
    updated_at_ms bigint NOT NULL,
    deleted_at_ms bigint,
    UNIQUE (project_id, kind, key)
);

CREATE TABLE shared_versions (
    shared_id bigint NOT NULL REFERENCES shared_documents ON DELETE CASCADE,
    version   bigint NOT NULL,
    document  text   NOT NULL,
    action    text   NOT NULL,
    actor     text   NOT NULL,
    at_ms     bigint NOT NULL,
    PRIMARY KEY (shared_id, version)
);

-- What an environment serves: one row a flag, segment, ramp overlay or kill, at the revision of its last change.
-- A row whose body is NULL is a removal. All rows above a reader's revision are its patch.
CREATE TABLE served (
    environment_id bigint NOT NULL REFERENCES environments ON DELETE CASCADE,
    kind           text   NOT NULL CHECK (kind IN ('flag', 'segment', 'ramp', 'kill')),
    key            text   NOT NULL COLLATE "C",
    revision       bigint NOT NULL,
    body           text,
    PRIMARY KEY (environment_id, kind, key)
);
CREATE INDEX served_by_revision ON served (environment_id, revision);

CREATE TABLE tokens (
    id              uuid   PRIMARY KEY,
    kind            text   NOT NULL CHECK (kind IN ('api', 'sdk', 'edge')),
    scope           text   NOT NULL,  -- api: admin | write | read; sdk: server | client
    hash            bytea  NOT NULL UNIQUE,
    hint            text   NOT NULL,  -- the first characters, to recognise it by
    label           text   NOT NULL,
    project_id      bigint REFERENCES projects ON DELETE CASCADE,
    environment_id  bigint REFERENCES environments ON DELETE CASCADE,
    created_at_ms   bigint NOT NULL,
    expires_at_ms   bigint,
    last_used_at_ms bigint,
    revoked_at_ms   bigint
);

CREATE TABLE ramps (
    id             uuid   PRIMARY KEY,
    environment_id bigint NOT NULL REFERENCES environments ON DELETE CASCADE,
    flag           text   NOT NULL,
    rollout        text   NOT NULL,
    status         text   NOT NULL,
    live           boolean NOT NULL,   -- a controller moves it
    overlaid       boolean NOT NULL,   -- its exposure is in force over the document's
    version        bigint NOT NULL,
    plan           text   NOT NULL,
    state          text   NOT NULL,
    unit_key       bytea  NOT NULL,
    declared_ppm   bigint NOT NULL,    -- the document's exposure when the ramp started
    start_ppm      bigint NOT NULL,    -- the exposure in force when the ramp started
    before_ramp    uuid REFERENCES ramps,
    started_by     text   NOT NULL,
    started_at_ms  bigint NOT NULL,
    ended_at_ms    bigint,
    inbox_head     bigint NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX ramps_one_live ON ramps (environment_id, flag, rollout) WHERE live;
CREATE INDEX ramps_of_environment ON ramps (environment_id, started_at_ms DESC);

CREATE TABLE decisions (
    ramp_id uuid   NOT NULL REFERENCES ramps ON DELETE CASCADE,
    seq     bigint NOT NULL,
    at_ms   bigint NOT NULL,
    kind    text   NOT NULL,
    body    text   NOT NULL,
    PRIMARY KEY (ramp_id, seq)
);

-- At which exposure each epoch of a ramp draws its arms (while arming: the first step's). An outcome names its epoch.
CREATE TABLE ramp_epochs (
    ramp_id      uuid   NOT NULL REFERENCES ramps ON DELETE CASCADE,
    epoch        bigint NOT NULL,
    exposure_ppm bigint NOT NULL,
    at_ms        bigint NOT NULL,
    PRIMARY KEY (ramp_id, epoch)
);

-- Increments in commit order: seq comes from ramps.inbox_head, whose row lock is held to commit.
CREATE TABLE ramp_inbox (
    ramp_id uuid   NOT NULL REFERENCES ramps ON DELETE CASCADE,
    seq     bigint NOT NULL,
    at_ms   bigint NOT NULL,
    body    text   NOT NULL,
    PRIMARY KEY (ramp_id, seq)
);

CREATE TABLE failing_units (
    ramp_id     uuid   NOT NULL REFERENCES ramps ON DELETE CASCADE,
    unit        bytea  NOT NULL,
    first_arm   text   NOT NULL,
    first_epoch bigint NOT NULL,
    first_at_ms bigint NOT NULL,
    last_at_ms  bigint NOT NULL,
    k           bigint NOT NULL,
    PRIMARY KEY (ramp_id, unit)
);

CREATE TABLE sampled_units (
    ramp_id uuid    NOT NULL REFERENCES ramps ON DELETE CASCADE,
    unit    bytea   NOT NULL,
    win     bigint  NOT NULL,
    epoch   bigint  NOT NULL,
    arm     text    NOT NULL,
    bad     boolean NOT NULL,
    PRIMARY KEY (ramp_id, unit, win, epoch)  -- a step shorter than a window counts its units too
);

-- How many units have a row of an epoch above: kept with each batch, for nobody could count them at every observation.
CREATE TABLE sampled_counts (
    ramp_id uuid   NOT NULL REFERENCES ramps ON DELETE CASCADE,
    epoch   bigint NOT NULL,
    arm     text   NOT NULL,
    units   bigint NOT NULL,
    PRIMARY KEY (ramp_id, epoch, arm)
);

CREATE TABLE batches (
    instance       text   NOT NULL,
    sequence       bigint NOT NULL,
    received_at_ms bigint NOT NULL,
    PRIMARY KEY (instance, sequence)
);
CREATE INDEX batches_by_age ON batches (received_at_ms);

CREATE TABLE instances (
    environment_id bigint  NOT NULL REFERENCES environments ON DELETE CASCADE,
    instance       text    NOT NULL,
    service        text    NOT NULL,
    generation     bigint  NOT NULL,
    revision       bigint  NOT NULL,
    goodbye        boolean NOT NULL,
    seen_at_ms     bigint  NOT NULL,
    PRIMARY KEY (environment_id, instance)
);

CREATE TABLE evaluations (
    environment_id bigint NOT NULL REFERENCES environments ON DELETE CASCADE,
    flag           text   NOT NULL,
    variant        text   NOT NULL,
    service        text   NOT NULL,
    day            bigint NOT NULL,    -- days since the epoch, UTC
    count          bigint NOT NULL,
    last_at_ms     bigint NOT NULL,
    PRIMARY KEY (environment_id, flag, variant, service, day)
);
CREATE INDEX evaluations_by_day ON evaluations (day);

CREATE TABLE kills (
    kill_id        uuid   PRIMARY KEY,
    environment_id bigint NOT NULL REFERENCES environments ON DELETE CASCADE,
    flag           text   NOT NULL,
    scope          text   NOT NULL CHECK (scope IN ('rollout', 'flag')),
    rollout        text,
    ramp_id        uuid REFERENCES ramps,
    source         text   NOT NULL,
    actor          text   NOT NULL,
    reason         text   NOT NULL,
    at_ms          bigint NOT NULL,
    revived_at_ms  bigint,
    revived_by     text,
    revive_reason  text
);
CREATE INDEX kills_in_force ON kills (environment_id, flag) WHERE revived_at_ms IS NULL;

CREATE TABLE audit (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at_ms       bigint NOT NULL,
    actor       text   NOT NULL,
    action      text   NOT NULL,       -- flag.put, ramp.kill, key.create …
    project     text,
    environment text,
    subject     text   NOT NULL,       -- the flag key, ramp id, key id …
    summary     text   NOT NULL,       -- one line a person understands
    detail      text   NOT NULL        -- JSON
);
CREATE INDEX audit_by_time ON audit (at_ms);
CREATE INDEX audit_by_subject ON audit (project, subject, id DESC);

CREATE TABLE lease (
    one    boolean PRIMARY KEY DEFAULT true CHECK (one),
    holder text   NOT NULL DEFAULT '',
    token  bigint NOT NULL DEFAULT 0,
    beat   bigint NOT NULL DEFAULT 0
);
INSERT INTO lease DEFAULT VALUES;
