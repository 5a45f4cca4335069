-- compatible_from: 1

-- Changes of a flag that wait for their time, and what became of each: it stays here for people to look up. The flag and
-- the environment are named by key, so that a row outlives them. Writers hold the project's row.
CREATE TABLE scheduled_changes (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id      bigint NOT NULL REFERENCES projects ON DELETE CASCADE,
    flag            text   NOT NULL COLLATE "C",
    environment     text   COLLATE "C",      -- NULL: the whole flag
    at_ms           bigint NOT NULL,
    at_text         text   NOT NULL,         -- as its author wrote it
    timezone        text,
    change          text   NOT NULL,         -- JSON
    summary         text   NOT NULL,         -- the change in a line
    if_version      bigint,
    note            text,
    status          text   NOT NULL CHECK (status IN ('pending', 'done', 'failed', 'cancelled')),
    scheduled_by    text   NOT NULL,
    scheduled_at_ms bigint NOT NULL,
    ended_at_ms     bigint,
    ended_by        text,
    why             text,                    -- of a failed or cancelled one
    faults          text   NOT NULL DEFAULT '[]',
    version         bigint,                  -- of the flag, once it is done
    CHECK ((status = 'pending') = (ended_at_ms IS NULL))
);
CREATE INDEX scheduled_changes_pending ON scheduled_changes (at_ms, id) WHERE status = 'pending';
CREATE INDEX scheduled_changes_of_project ON scheduled_changes (project_id, at_ms, id);
