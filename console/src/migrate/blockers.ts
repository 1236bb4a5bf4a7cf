// What keeps a migration from starting, and what to do about it.
import type { MigrationStatus } from "../api/types.ts";

export type Blocker = { title: string; remedy: string };

export function blockersOf(status: MigrationStatus): Blocker[] {
  const blockers: Blocker[] = [];
  if (!status.r2Configured) {
    blockers.push({ title: "No bucket is bound", remedy: "Bind a bucket as R2_IMAGES in wrangler.toml and deploy again." });
  } else if (!status.migrationReady) {
    blockers.push({ title: "R2 does not answer", remedy: "A run would wait for it. Check the binding R2_IMAGES and Cloudflare's status page." });
  }
  for (const { name, state, problem } of status.migrationStats.sources) {
    if (state === "unavailable") {
      blockers.push({ title: `The source ${name} cannot be read`, remedy: problem?.detail ?? "Correct it in MIGRATION_SOURCES." });
    }
  }
  const isPlain = location.protocol === "http:" && !/^(localhost|127\.|\[::1\])/.test(location.hostname);
  if (isPlain && status.publicUrl === null) {
    blockers.push({ title: "Rows would keep an http:// address", remedy: "Set PUBLIC_ORIGIN, or open this page at the Worker's https:// address." });
  }
  return blockers;
}
