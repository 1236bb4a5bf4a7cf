// Another bucket at S3 servers that are not Cloudflare's. By hand: MOTO_SERVER and S3S_FS name the programs of moto (5.2.5; 5.2.1 refuses
// every encoded path and query, botocore's too) and of s3s-fs (0.14.1).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { pngOf } from "./flows.ts";
import { FOREIGN_S3 } from "./harness/foreign-s3.ts";
import type { ForeignS3 } from "./harness/foreign-s3.ts";
import { projectDir } from "./harness/project.ts";
import { S3Host } from "./harness/s3-host.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";
import { acted, act, digest, untilState } from "./migrations.ts";

const PNG = readFileSync(join(projectDir, "tests/fixtures/images/rgb.png"));
/** More than two pages of a listing. */
const MANY = 2_100;
/** Two parts of 64 MiB. */
const LONG = pngOf(110_000_007, 3);
/** What a client put in two parts. */
const PARTED = pngOf(6 << 20, 2);
const ODD = [
  "a b.png", "a+b.png", "a%20b.png", "a%2Bb.png", "a&b=c.png", "ü/日本 🦊.png", "~!*'().png", "q?x#y.png", '"<>|^`{}[].png', "a//b.png",
  "back\\slash.png", "comma,semi;colon:@$.png", "trailing.", "folder/", " spaces ", "u\u0308.png", "\ufffd.png", "del\u007f\u0085.png",
  "a\u0001b.png", "a\u0002b.png", "a\rb\tc.png", "a\r\nb.png", "\u{10ffff}.png", `${"x".repeat(1_016)}.png`, `${"日".repeat(340)}`,
].map((key) => `odd/${key}`);

for (const { name, variable, start, cannotHold } of FOREIGN_S3) {
  const program = process.env[variable];
  describe(`a bucket at ${name}'s server`, { skip: program === undefined && `${variable} names no program` }, () => {
    let server: ForeignS3;
    let host: S3Host;
    let worker: RunningWorker;
    const odd = ODD.filter((key) => !cannotHold(key));

    before(async () => {
      server = await start(program ?? "");
      for (const key of odd) await server.put(key, PNG, { "content-type": "image/png", "x-amz-meta-author": "jane", "x-amz-meta-two-words": "a  b" });
      for (let from = 0; from < MANY; from += 50) {
        await Promise.all(Array.from({ length: 50 }, (_, at) => server.put(`many/${from + at}.txt`, `text ${from + at}`, { "content-type": "text/plain" })));
      }
      await server.put("long/long.png", LONG);
      await server.putInParts("long/parted.png", [PARTED.subarray(0, 5 << 20), PARTED.subarray(5 << 20)], { "x-amz-meta-author": "jane" });
      await server.put("sick/a.png", PNG);
      await server.put("sick/large.png", pngOf(9 << 20, 1));
      const { accessKeyId, secretAccessKey } = await server.lock();

      host = await S3Host.start(server.port);
      const source = (name: string, prefix: string) => ({ kind: "bucket", name, endpoint: host.origin, region: "us-east-1", bucket: "photos", prefix });
      const names = ["odd", "many", "long", "sick"];
      const secrets = names.flatMap((name) => [
        [`S3_SOURCE_${name.toUpperCase()}_ACCESS_KEY_ID`, accessKeyId],
        [`S3_SOURCE_${name.toUpperCase()}_SECRET_ACCESS_KEY`, secretAccessKey],
      ]);
      worker = await startWorker({
        vars: {
          ENABLE_R2_STORAGE: "true",
          MIGRATION_SOURCES: JSON.stringify([...names.map((name) => source(name, `${name}/`)), source("wrong", "odd/")]),
          ...Object.fromEntries(secrets),
          S3_SOURCE_WRONG_ACCESS_KEY_ID: accessKeyId,
          S3_SOURCE_WRONG_SECRET_ACCESS_KEY: "another-secret",
        },
      });
    });
    after(async () => {
      await worker?.stop();
      host?.stop();
      server?.stop();
    });

    const copied = async (key: string) => {
      const object = await worker.bucket.get(key);
      assert.ok(object !== null, key);
      return { sha256: digest(new Uint8Array(await object.arrayBuffer())), metadata: object.customMetadata, type: object.httpMetadata?.contentType };
    };
    const runOver = async (source: string) => {
      const begun = await acted(worker, { action: "migrate", source, background: true, batchSize: 100, concurrency: 8 });
      return untilState(worker, begun.runId);
    };

    test("keys of all kinds are listed, signed and copied", async () => {
      const run = await runOver("odd");
      assert.equal(run.state, "completed", JSON.stringify(run));
      assert.equal(run.progress.succeeded, odd.length);
      for (const key of odd) {
        const { sha256, metadata } = await copied(key);
        assert.equal(sha256, digest(PNG), key);
        assert.deepEqual([metadata?.author, metadata?.["two-words"]?.replace(/ +/, " ")], ["jane", "a b"], key);
      }
      const valid = await acted(worker, { action: "validate", source: "odd", checkIntegrity: true });
      assert.deepEqual([valid.result.isValid, valid.result.valid], [true, odd.length], JSON.stringify(valid));
      const again = await runOver("odd");
      assert.equal(again.progress.done, 0);
    });

    test("pages follow each other", async () => {
      const run = await runOver("many");
      assert.deepEqual([run.state, run.progress.succeeded], ["completed", MANY], JSON.stringify(run));
      assert.equal((await copied(`many/${MANY - 1}.txt`)).type, "text/plain");
      assert.equal(host.asked.filter(({ isListing }) => isListing).length > 2, true);
    });

    test("a long object comes in parts, and one that was put in parts comes whole", async () => {
      const run = await runOver("long");
      assert.deepEqual([run.state, run.progress.succeeded], ["completed", 2], JSON.stringify(run));
      assert.equal((await copied("long/long.png")).sha256, digest(LONG));
      const parted = await copied("long/parted.png");
      assert.deepEqual([parted.sha256, parted.metadata?.author], [digest(PARTED), "jane"]);
      assert.equal((await runOver("long")).progress.done, 0);
    });

    test("another secret is refused", async () => {
      const refused = (await act(worker, { action: "migrate", source: "wrong" })).json();
      assert.equal(refused.state, "failed", JSON.stringify(refused));
      assert.match(refused.result.warnings[0], /^source-forbidden/);
    });

    test("a server that dies in the middle, lies about lengths and is slow costs nothing but time", async () => {
      const troubles = [{ breakAfter: 50 }, { longerBy: 7 }, { status: 500 }, { until: sleep(300) }, undefined, { breakAfter: 5_000_000 }];
      host.trouble = ({ isListing }) => (isListing ? undefined : troubles.shift());
      const run = await runOver("sick");
      assert.deepEqual([run.state, run.progress.succeeded], ["completed", 2], JSON.stringify(run));
      assert.equal((await copied("sick/a.png")).sha256, digest(PNG));
      assert.equal((await copied("sick/large.png")).sha256, digest(pngOf(9 << 20, 1)));
    });

    test("a server that stands still and goes on lets the run wait", async () => {
      await acted(worker, { action: "rollback", source: "sick", deleteFromR2: true });
      server.stand("SIGSTOP");
      setTimeout(() => server.stand("SIGCONT"), 3_000);
      assert.equal((await runOver("sick")).state, "completed");
      const valid = await acted(worker, { action: "validate", source: "sick", checkIntegrity: true });
      assert.equal(valid.result.valid, 2, JSON.stringify(valid));
    });
  });
}
