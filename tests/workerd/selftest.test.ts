// `npm run selftest` against a Worker whose services work, and against one whose services do not.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { describe, test } from "node:test";

import { freePort } from "./harness/free-port.ts";
import { projectDir } from "./harness/project.ts";
import { API_TOKEN, startWorker } from "./harness/worker.ts";
import { storedKeys } from "./client.ts";

/** Exit code, and the word and text of each line by the check's name. */
async function selftest(args: string[], token: string | undefined = API_TOKEN) {
  const env = { ...process.env, STILLSTORE_TOKEN: token };
  const command = [join(projectDir, "scripts/selftest.mjs"), ...args];
  return new Promise<{ code: number; told: Record<string, string>; output: string }>((resolve) => {
    execFile(process.execPath, command, { env }, (error, stdout, stderr) => {
      const told: Record<string, string> = {};
      for (const [, word, name, text] of stdout.matchAll(/^(ok|skip|FAIL) +(.+?) +\d+ ms {2}(.*)$/gm)) told[name ?? ""] = `${word} ${text}`;
      resolve({ code: typeof error?.code === "number" ? error.code : 0, told, output: stdout + stderr });
    });
  });
}

describe("npm run selftest", () => {
  test("uses every service that works, and leaves no image behind", async (t) => {
    const worker = await startWorker({ s3Port: await freePort() });
    t.after(() => worker.stop());
    const { code, told, output } = await selftest(["--url", worker.url, "--generate"]);
    assert.equal(code, 0, output);
    const words = Object.fromEntries(Object.entries(told).map(([name, line]) => [name, line.split(" ")[0]]));
    assert.deepEqual(words, {
      "Worker": "ok", "token": "ok", "database": "ok", "configuration": "ok", "bucket": "ok", "store and read": "ok", "signed URL": "ok",
      "public domain": "skip", "presigned upload": "ok", "browsers (CORS)": "ok", "queue": "ok", "image provider": "ok",
    });
    assert.match(told["presigned upload"] ?? "", /went to R2's S3 endpoint/);
    const keys = await storedKeys(worker);
    assert.deepEqual(keys.d1, []);
    assert.deepEqual(keys.r2.filter((key) => !key.startsWith("stillstore/receipts/")), []);
    assert.ok(!output.includes(API_TOKEN));
  });

  test("says what does not work and what to do, with exit code 1", async (t) => {
    const worker = await startWorker({ faults: true });
    t.after(() => worker.stop());
    await worker.faults.set({ binding: "R2_IMAGES", persistent: true, when: "before" });
    const { code, told, output } = await selftest(["--url", worker.url]);
    assert.equal(code, 1);
    assert.match(told.bucket ?? "", /^FAIL R2 does not answer/);
    assert.match(told["store and read"] ?? "", /^FAIL R2 did not take it \(.+\), so it went into the database/);
    assert.match(output, /Check the binding R2_IMAGES/);
    assert.match(told["image provider"] ?? "", /^skip/);
  });

  test("a wrong token, an address where nothing is, and a wrong command line", async (t) => {
    const worker = await startWorker();
    t.after(() => worker.stop());
    const wrong = await selftest(["--url", worker.url], "a-token-that-nobody-has-at-all-ever");
    assert.equal(wrong.code, 1);
    assert.match(wrong.told.token ?? "", /^FAIL unauthorized: /);
    const nowhere = await selftest(["--url", `http://127.0.0.1:${await freePort()}`]);
    assert.equal(nowhere.code, 1);
    assert.match(nowhere.told.Worker ?? "", /^FAIL 127\.0\.0\.1:\d+ did not answer: ECONNREFUSED/);
    assert.equal((await selftest([])).code, 2);
    assert.equal((await selftest(["--url", "http://elsewhere.example"])).code, 2);
    assert.equal((await selftest(["--nonsense"])).code, 2);
  });
});
