import type { Migration } from "./project.ts";
import type { Database } from "./worker.ts";

const DEFAULT_TABLE = "d1_migrations";

/** Applies those that the database has not seen, and records them in the table wrangler uses. */
export async function applyMigrations(db: Database, migrations: Migration[], table = DEFAULT_TABLE): Promise<void> {
  await db
    .prepare(
      `CREATE TABLE IF NOT EXISTS ${table} (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE,
       applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)`,
    )
    .run();
  const { results } = await db.prepare(`SELECT name FROM ${table}`).all<{ name: string }>();
  const applied = new Set(results.map(({ name }) => name));
  for (const { name, sql } of migrations) {
    if (applied.has(name)) continue;
    // SQLite itself tells the statements of the file apart. It wants one last, where a file may have a comment.
    await db.batch([
      db.prepare(`${sql}\n;SELECT 1`),
      db.prepare(`INSERT INTO ${table} (name) VALUES (?)`).bind(name),
    ]);
  }
}
