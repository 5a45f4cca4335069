-- compatible_from: 1

-- Where a project's notifications go. What is secret in a target has to be sent or signed with, so it is stored as it is.
CREATE TABLE notification_channels (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id    bigint NOT NULL REFERENCES projects ON DELETE CASCADE,
    name          text   NOT NULL COLLATE "C",
    kind          text   NOT NULL CHECK (kind IN ('webhook', 'slack', 'email')),
    target        text   NOT NULL,         -- JSON: the address, the secrets
    filters       text   NOT NULL,         -- JSON: which notifications
    created_by    text   NOT NULL,
    created_at_ms bigint NOT NULL,
    updated_at_ms bigint NOT NULL,
    UNIQUE (project_id, name)
);

-- The outbox: written in the transaction that makes the news, by one row. It refers to the environment alone, whose row
-- comes after flags and ramps in the order of locks.
CREATE TABLE notifications (
    seq            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id             uuid    NOT NULL UNIQUE,
    environment_id bigint  NOT NULL REFERENCES environments ON DELETE CASCADE,
    event          text    NOT NULL,
    flag           text    NOT NULL,
    subject        text    NOT NULL,       -- the ramp, or else the flag: what is told in order
    at_ms          bigint  NOT NULL,
    body           text    NOT NULL,       -- JSON
    settled_at_ms  bigint,                 -- when it was settled who gets it; NULL: not yet
    muted          boolean NOT NULL DEFAULT false,
    repeats        bigint  NOT NULL DEFAULT 0
);
CREATE INDEX notifications_unsettled ON notifications (seq) WHERE settled_at_ms IS NULL;
CREATE INDEX notifications_of_subject ON notifications (environment_id, subject, seq);
CREATE INDEX notifications_by_time ON notifications (at_ms);

CREATE TABLE notification_deliveries (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    seq         bigint NOT NULL REFERENCES notifications ON DELETE CASCADE,
    channel_id  bigint NOT NULL REFERENCES notification_channels ON DELETE CASCADE,
    status      text   NOT NULL CHECK (status IN ('pending', 'delivered', 'failed')),
    attempts    bigint NOT NULL DEFAULT 0,
    since_ms    bigint NOT NULL,           -- since when it is tried
    next_at_ms  bigint NOT NULL,
    last_error  text,
    ended_at_ms bigint,
    UNIQUE (seq, channel_id)
);
CREATE INDEX notification_deliveries_pending ON notification_deliveries (channel_id, next_at_ms) WHERE status = 'pending';
CREATE INDEX notification_deliveries_of_channel ON notification_deliveries (channel_id, id);
