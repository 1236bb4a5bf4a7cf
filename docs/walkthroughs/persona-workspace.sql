-- What the workspace has before it moves to Stillstore: pictures as base64 text in the rows of the personas.
CREATE TABLE images (
  id TEXT PRIMARY KEY, session_id TEXT, participant_id TEXT, table_id TEXT, persona_id TEXT, persona_title TEXT, image_url TEXT,
  image_data TEXT, image_mime_type TEXT, prompt TEXT, provider TEXT, status TEXT, r2_key TEXT, migration_status TEXT, migrated_at INTEGER,
  created_at INTEGER, updated_at INTEGER
);
INSERT INTO images (id, session_id, persona_id, image_data, image_mime_type, prompt, status) VALUES
  ('one', 'summit', 'visitor-1', 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'image/png', 'a dot', 'completed'),
  ('two', 'summit', 'visitor-2', 'data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'image/gif', 'a clear dot', 'completed');
