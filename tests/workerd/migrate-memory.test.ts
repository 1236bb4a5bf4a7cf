// Large images migrate without going through wasm memory. docs/memory.md repeats what this prints.
import assert from "node:assert/strict";
import { test } from "node:test";

import { pngOf } from "./flows.ts";
import { startWorker } from "./harness/worker.ts";
import { acted, assertReadable, embed } from "./migrations.ts";

const MIB = 1 << 20;
const MAX_WASM_BYTES = 16 * MIB;
/** The largest that the database takes (README.md, Limits). */
const LARGEST = 26_214_400;
/** More than a slice of each size; MIGRATION_MEMORY=full for many, which takes a minute or two. */
const [MIDDLING, LARGE] = process.env.MIGRATION_MEMORY === "full" ? [30, 4] : [6, 2];
const SIZES = [...Array.from({ length: MIDDLING }, () => 5_000_000), ...Array.from({ length: LARGE }, () => LARGEST)];

test(`moving ${SIZES.length} large images leaves wasm memory under ${MAX_WASM_BYTES} bytes`, async (t) => {
  const worker = await startWorker({ vars: { ENABLE_R2_STORAGE: "false" } });
  t.after(() => worker.stop());
  const originals = await embed(worker, SIZES.map((size, filler) => pngOf(size, filler + 1)));
  t.diagnostic(`wasm memory: ${await worker.wasmMemoryBytes()} after the uploads`);
  for (const [body, field] of [
    [{ action: "migrate", dryRun: true }, "migrated"],
    [{ action: "migrate" }, "migrated"],
    [{ action: "validate", checkIntegrity: true }, "valid"],
    [{ action: "rollback" }, "rolledBack"],
  ] as const) {
    const { runId } = await acted(worker, body);
    let answer = await acted(worker, { action: "status", runId });
    while (answer.state === "running") answer = await acted(worker, { action: "status", runId });
    assert.deepEqual([answer.state, new Map(Object.entries(answer.result.result)).get(field)], ["completed", SIZES.length], JSON.stringify(answer));
    const bytes = await worker.wasmMemoryBytes();
    t.diagnostic(`wasm memory: ${bytes} after ${JSON.stringify(body)}`);
    assert.ok(bytes < MAX_WASM_BYTES, `${bytes} bytes after ${JSON.stringify(body)}`);
  }
  await assertReadable(worker, originals);
});
