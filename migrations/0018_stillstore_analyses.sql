-- Analyses: what a vision provider said of an image, or of a session's frames.

CREATE TABLE stillstore_analyses (
  job_id TEXT PRIMARY KEY NOT NULL,
  -- What was looked at. A row is there as long as that is.
  image_id TEXT,
  session_id TEXT,
  -- 0 while its job goes on: nobody reads it then.
  is_whole INTEGER NOT NULL CHECK (is_whole = 0 OR is_whole = 1),
  -- The number of the last frame that was looked at.
  last_ordinal INTEGER,
  -- Versioned JSON.
  answer TEXT NOT NULL CHECK (json_valid(answer)),
  updated_at_ms INTEGER NOT NULL,
  CHECK ((image_id IS NULL) <> (session_id IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX stillstore_analyses_by_image ON stillstore_analyses (image_id, is_whole) WHERE image_id IS NOT NULL;
CREATE INDEX stillstore_analyses_by_session ON stillstore_analyses (session_id, is_whole) WHERE session_id IS NOT NULL;
-- What jobs that came to nothing left behind.
CREATE INDEX stillstore_analyses_begun ON stillstore_analyses (updated_at_ms) WHERE is_whole = 0;

-- Nothing is kept of what an image showed that is deleted: the analysis of a session goes with the first of its frames.
CREATE TRIGGER stillstore_images_leaving_description AFTER UPDATE OF status ON stillstore_images WHEN NEW.status = 'deleting' AND OLD.status = 'stored' BEGIN DELETE FROM stillstore_analyses WHERE image_id = NEW.id; END;
CREATE TRIGGER stillstore_images_leaving_analysis AFTER UPDATE OF status ON stillstore_images WHEN NEW.status = 'deleting' AND OLD.status = 'stored' AND NEW.collection_id IS NOT NULL BEGIN DELETE FROM stillstore_analyses WHERE session_id = NEW.collection_id; END;
