-- Images that the cache in front must forget. A row is written in the transaction that makes its image unreadable.

CREATE TABLE stillstore_purges (
  image_id TEXT PRIMARY KEY NOT NULL,
  -- first: not sent yet; again: sent, and to be sent once more, because a read that was under way may have filled the cache since.
  stage TEXT NOT NULL CHECK (stage = 'first' OR stage = 'again'),
  due_at_ms INTEGER NOT NULL,
  -- Refusals since it was last sent.
  failures INTEGER NOT NULL CHECK (failures >= 0)
) STRICT, WITHOUT ROWID;

CREATE INDEX stillstore_purges_due ON stillstore_purges (due_at_ms);
