-- Calls of a model about pictures count for its user's limit; and a question leaves with the last frame that it is about.
-- A Worker of the version before makes jobs that count for nothing.

-- Calls of a model that count for the owner and are still to be made.
ALTER TABLE stillstore_jobs ADD COLUMN counted_calls INTEGER NOT NULL DEFAULT 0 CHECK (counted_calls >= 0);
CREATE INDEX stillstore_jobs_by_session ON stillstore_jobs (session_id) WHERE session_id IS NOT NULL;

-- In the transaction that makes the job, which fails where a limit is exceeded. A job that is there already counts once.
CREATE TRIGGER stillstore_jobs_used AFTER INSERT ON stillstore_jobs WHEN NEW.counted_calls > 0 BEGIN UPDATE stillstore_usage SET images = iif(NEW.created_at_ms / 86400000 > day, 0, images), generations = iif(NEW.created_at_ms / 86400000 > day, 0, generations) + NEW.counted_calls, day = max(day, NEW.created_at_ms / 86400000) WHERE owner_id = NEW.owner_id; END;
-- As stillstore_images_leaving_jobs does for an image.
CREATE TRIGGER stillstore_images_leaving_questions AFTER UPDATE OF status ON stillstore_images WHEN NEW.status = 'deleting' AND OLD.status = 'stored' AND NEW.collection_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM stillstore_images AS frame WHERE frame.collection_id = NEW.collection_id AND frame.status = 'stored') BEGIN UPDATE stillstore_jobs SET request = '{}' WHERE session_id = NEW.collection_id AND request <> '{}'; END;
