// `npm run migrate` against the Worker itself.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { projectDir } from "./harness/project.ts";
import { API_TOKEN, startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";
import { assertHomes, assertReadable, plant } from "./migrations.ts";

const IMAGES = 35;
const SCRIPT = join(projectDir, "scripts", "migrate.mjs");
const NO_RUN = "0".repeat(32);

let worker: RunningWorker;
before(async () => {
  worker = await startWorker({ faults: true });
});
after(() => worker.stop());

type Ended = { code: number; stdout: string; stderr: string };

function migrate(args: string[], token = API_TOKEN): Promise<Ended> {
  const env = { PATH: process.env.PATH, STILLSTORE_TOKEN: token };
  return new Promise((resolve) =>
    execFile(process.execPath, [SCRIPT, ...args, "--url", worker.url], { env }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    ),
  );
}

/** The output of a command that ends well. */
async function well(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await migrate(args);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "" }, `${args.join(" ")}\n${stdout}`);
  return stdout;
}

test("images go to R2 and back by the commands that README.md names", async () => {
  const originals = await plant(worker, IMAGES);
  assert.match(await well("status"), /35 images: 0 in R2, 35 in the database[^]*There was no run yet\./);
  assert.match(await well("dry-run"), /Would move 35 of 35 images[^]*Nothing was changed\./);
  await assertHomes(worker, { r2: 0, d1: IMAGES });

  const moved = await well("run", "--batch-size", "5", "--concurrency", "2");
  assert.match(moved, /Moved 35 of 35 images[^]*Receipt of every image: /);
  const runId = /^Run ([0-9a-f]{32})$/m.exec(moved)?.[1] ?? "";
  const receiptUrl = /^Receipt of every image: (\S+)$/m.exec(moved)?.[1] ?? "";
  const receipt = await fetch(receiptUrl, { headers: { authorization: `Bearer ${API_TOKEN}` } });
  assert.equal((await receipt.text()).split("\n").length, IMAGES + 3);
  await assertHomes(worker, { r2: IMAGES, d1: 0 });
  assert.match(await well("status", "--run-id", runId), /completed/);
  assert.match(await well("status", "--watch"), /35 images: 35 in R2, 0 in the database/);
  assert.match(await well("validate", "--check-integrity"), /^Valid: 35 images checked, 35 valid, 0 invalid/m);

  assert.match(await well("cleanup"), /Dropped 0 of 35 images, kept 35/);
  assert.match(await well("rollback", "--dry-run"), /Would bring back 35 of 35 images/);
  const [first, second] = originals;
  assert.match(await well("rollback", "--ids", `${first?.id},${second?.id}`), /Brought back 2 of 2 images/);
  await assertHomes(worker, { r2: IMAGES - 2, d1: 2 });
  assert.match(await well("cleanup", "--force", "--run-id", runId), /Dropped 33 of 35 images[^]*freed/);
  assert.match(await well("rollback", "--delete-from-r2"), /Brought back 33 of 35 images/);
  await assertHomes(worker, { r2: 0, d1: IMAGES });
  await assertReadable(worker, originals);
});

test("the exit code says that something failed, and the output what", async () => {
  assert.equal((await migrate(["run"])).code, 0);
  const { objects } = await worker.bucket.list({ prefix: "generated/", limit: 1 });
  const key = objects[0]?.key ?? "";
  await worker.bucket.delete(key);
  const { code, stdout } = await migrate(["validate"]);
  assert.equal(code, 1);
  assert.match(stdout, /Not valid: 35 images checked, 34 valid, 1 invalid[^]*1 missing[^]*copy-missing/);
});

test("the bucket is compared with the rows, and what is young is left alone", async () => {
  // The image of the test before has no object; a day passes for its row.
  await worker.db.prepare("UPDATE stillstore_images SET updated_at_ms = updated_at_ms - ?1").bind(25 * 60 * 60 * 1000).run();
  await worker.bucket.put("studio/2026/11/0a1b2c3d_young.png", "of this hour");
  await worker.bucket.put("notes.txt", "another program's");
  for (const options of [[], ["--adopt"], ["--remove"]]) {
    const { code, stdout } = await migrate(["reconcile", ...options]);
    assert.equal(code, 1, stdout);
    assert.match(stdout, /1 object of others[^]*0 objects without a row[^]*1 row without an object:\n {2}[0-9a-f-]{36}: generated\//);
  }
  assert.notEqual(await worker.bucket.head("studio/2026/11/0a1b2c3d_young.png"), null);
});

test("what the Worker refuses is told, with the exit code of its kind", async () => {
  for (const [code, args, words, token] of [
    [2, ["run", "--source", "nothing"], /invalid-field[^]*source/],
    [1, ["status", "--run-id", NO_RUN], /run-not-found/],
    [1, ["run"], /unauthorized[^]*STILLSTORE_TOKEN/, "wrong"],
  ] as [number, string[], RegExp, string?][]) {
    const ended = await migrate(args, token);
    assert.equal(ended.code, code, `${args.join(" ")}\n${ended.stdout}${ended.stderr}`);
    assert.match(ended.stdout + ended.stderr, words);
  }
});
