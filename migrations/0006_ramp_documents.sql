-- compatible_from: 1

-- What a ramp was started from: its document as it was given, the template that it took, the ramp that it starts again
-- (JSON). The digest tells the document from others. NULL: a ramp from before.
ALTER TABLE ramps ADD COLUMN origin text;
ALTER TABLE ramps ADD COLUMN digest text;
CREATE INDEX ramps_of_document ON ramps (environment_id, flag, rollout, digest);

-- Templates of ramps are kept as segments and layers are.
ALTER TABLE shared_documents DROP CONSTRAINT shared_documents_kind_check;
ALTER TABLE shared_documents ADD CONSTRAINT shared_documents_kind_check CHECK (kind IN ('segment', 'layer', 'template'));

-- The template that a ramp takes which names none.
ALTER TABLE environments ADD COLUMN default_template text COLLATE "C";
