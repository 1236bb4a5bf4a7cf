-- Jobs: work on images that goes by the queue, a row each, with one worker at a time.

CREATE TABLE stillstore_jobs (
  id TEXT PRIMARY KEY NOT NULL,
  kind TEXT NOT NULL CHECK (kind = 'edit' OR kind = 'describe' OR kind = 'analyze'),
  state TEXT NOT NULL
    CHECK (state = 'queued' OR state = 'processing' OR state = 'completed' OR state = 'failed' OR state = 'cancelled'),
  owner_id TEXT,
  -- What it works on: an image, or the frames of a session.
  image_id TEXT,
  session_id TEXT,
  -- Jobs of one request.
  batch_id TEXT,
  -- What was asked for. '{}' once the image is deleted: prompts are people's own words.
  request TEXT NOT NULL CHECK (json_valid(request)),
  -- The image that it makes. Another one if the row of the first was given up before it was stored.
  output_id TEXT,
  -- Workers that claimed it so far.
  attempts INTEGER NOT NULL CHECK (attempts >= 0),
  error TEXT CHECK (json_valid(error)),
  events TEXT NOT NULL CHECK (json_valid(events)),
  -- Of the Idempotency-Key and of the request that it came with.
  key_digest TEXT,
  body_digest TEXT,
  lease_token TEXT,
  lease_expires_at_ms INTEGER NOT NULL DEFAULT 0,
  -- When it may be claimed; while it is processed, when its lease ends.
  due_at_ms INTEGER NOT NULL,
  created_at_ms INTEGER NOT NULL,
  -- When its state changed last.
  updated_at_ms INTEGER NOT NULL,
  CHECK ((image_id IS NULL) <> (session_id IS NULL))
) STRICT, WITHOUT ROWID;

-- Listings, newest first; the first one also finds jobs past their retention.
CREATE INDEX stillstore_jobs_by_age ON stillstore_jobs (created_at_ms, id);
CREATE INDEX stillstore_jobs_by_state ON stillstore_jobs (state, created_at_ms, id);
CREATE INDEX stillstore_jobs_by_owner ON stillstore_jobs (owner_id, created_at_ms, id) WHERE owner_id IS NOT NULL;
CREATE INDEX stillstore_jobs_by_image ON stillstore_jobs (image_id, created_at_ms, id) WHERE image_id IS NOT NULL;
CREATE INDEX stillstore_jobs_by_batch ON stillstore_jobs (batch_id, created_at_ms, id) WHERE batch_id IS NOT NULL;
-- What cron takes up.
CREATE INDEX stillstore_jobs_due ON stillstore_jobs (due_at_ms) WHERE state = 'queued' OR state = 'processing';
CREATE UNIQUE INDEX stillstore_jobs_by_key ON stillstore_jobs (key_digest) WHERE key_digest IS NOT NULL;

CREATE TRIGGER stillstore_images_leaving_jobs AFTER UPDATE OF status ON stillstore_images WHEN NEW.status = 'deleting' AND OLD.status = 'stored' BEGIN UPDATE stillstore_jobs SET request = '{}' WHERE image_id = NEW.id; END;
