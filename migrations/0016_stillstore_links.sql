-- Links that a run is to fetch, host by host, the soonest to expire first. Beside the journal, in the database of the source.

CREATE TABLE stillstore_links (
  run_id TEXT NOT NULL,
  -- Whom they are fetched from; empty where a link is none.
  host TEXT NOT NULL,
  -- When the link expires; 2^53 - 1 when it does not say.
  deadline_ms INTEGER NOT NULL,
  item_id TEXT NOT NULL,
  -- Fetches that came to nothing.
  attempts INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (run_id, host, deadline_ms, item_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE stillstore_link_hosts (
  run_id TEXT NOT NULL,
  host TEXT NOT NULL,
  -- Nothing is asked of the host before.
  ready_at_ms INTEGER NOT NULL DEFAULT 0,
  -- Failures in a row.
  failures INTEGER NOT NULL DEFAULT 0,
  -- Why, when the run has given the host up: its links fail.
  given_up TEXT,
  PRIMARY KEY (run_id, host)
) STRICT, WITHOUT ROWID;
