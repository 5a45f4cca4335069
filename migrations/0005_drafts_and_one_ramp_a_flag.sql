-- compatible_from: 1

-- A ramp that starts later is a draft until then.
ALTER TABLE ramps ADD COLUMN start_at_ms bigint;
CREATE INDEX ramps_drafts ON ramps (start_at_ms, id) WHERE status = 'draft';

-- One live ramp a flag and environment. Those that are live beside another on the same flag go on to their end.
ALTER TABLE ramps ADD COLUMN alone boolean NOT NULL DEFAULT true;
UPDATE ramps SET alone = false
WHERE live AND EXISTS (
    SELECT FROM ramps AS other
    WHERE other.live AND other.environment_id = ramps.environment_id AND other.flag = ramps.flag AND other.id <> ramps.id
);
CREATE UNIQUE INDEX ramps_one_live_of_flag ON ramps (environment_id, flag) WHERE live AND alone;
