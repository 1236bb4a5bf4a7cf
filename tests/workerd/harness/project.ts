// What wrangler.toml says, so that tests run the Worker as it is deployed.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "smol-toml";

export const projectDir = fileURLToPath(new URL("../../..", import.meta.url));

/** The parts of wrangler.toml that the harness understands. */
export type WranglerConfig = {
  name: string;
  main: string;
  compatibility_date: string;
  compatibility_flags?: string[];
  vars?: Record<string, unknown>;
  assets?: { directory: string };
  preview_urls?: boolean;
  observability?: Record<string, unknown>;
  d1_databases?: { binding: string; database_id: string; migrations_dir?: string; migrations_table?: string }[];
  r2_buckets?: { binding: string; bucket_name: string }[];
  queues?: {
    producers?: { binding: string; queue: string; delivery_delay?: number }[];
    consumers?: QueueConsumer[];
  };
};

/** As wrangler.toml says it; times in seconds. */
export type QueueConsumer = {
  queue: string;
  max_batch_size?: number;
  max_batch_timeout?: number;
  max_retries?: number;
  dead_letter_queue?: string;
  retry_delay?: number;
};

export function readWranglerConfig(): WranglerConfig {
  return parse(readFileSync(join(projectDir, "wrangler.toml"), "utf8")) as WranglerConfig;
}

/** One SQL file of the migrations directory. */
export type Migration = { name: string; sql: string };

/** In the order wrangler applies them. */
export function readMigrations(directory: string): Migration[] {
  const path = join(projectDir, directory);
  if (!existsSync(path)) return [];
  return readdirSync(path)
    .filter((name) => name.endsWith(".sql"))
    .sort()
    .map((name) => ({ name, sql: readFileSync(join(path, name), "utf8") }));
}
