-- How many images an application's table holds, for tables that are too large to be counted for each answer: counted slice by slice.

CREATE TABLE stillstore_table_counts (
  source TEXT NOT NULL,
  -- counting: under way; counted: the last one that came to its end.
  state TEXT NOT NULL CHECK (state = 'counting' OR state = 'counted'),
  -- The table, columns and filter that were counted.
  subject TEXT NOT NULL,
  -- table: counts rows; journal: counts entries that no row stands for any more.
  phase TEXT NOT NULL CHECK (phase = 'table' OR phase = 'journal' OR phase = 'done'),
  -- The id after which the next slice begins, of the type that it has in the table.
  cursor ANY,
  table_rows INTEGER NOT NULL DEFAULT 0,
  -- Rows whose image is in the data column, in R2, or in both: moving an image does not change their number.
  images INTEGER NOT NULL DEFAULT 0,
  -- Rows whose image is in the data column, and the bytes that it takes there.
  data_rows INTEGER NOT NULL DEFAULT 0,
  data_bytes INTEGER NOT NULL DEFAULT 0,
  -- Entries of the journal, by stage, whose row is gone or names something else.
  stale_moved INTEGER NOT NULL DEFAULT 0,
  stale_cleaned INTEGER NOT NULL DEFAULT 0,
  -- All entries of both stages when the count ended.
  moves INTEGER NOT NULL DEFAULT 0,
  began_at_ms INTEGER NOT NULL,
  counted_at_ms INTEGER,
  PRIMARY KEY (source, state)
) STRICT, WITHOUT ROWID;

CREATE INDEX stillstore_table_counts_under_way ON stillstore_table_counts (source) WHERE state = 'counting';

-- The latest run of a source.
CREATE INDEX stillstore_runs_by_source ON stillstore_runs (source, created_at_ms);
