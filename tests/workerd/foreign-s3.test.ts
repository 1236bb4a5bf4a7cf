// Another bucket at an S3 server that is not Cloudflare's: moto's, which checks signatures by botocore's code. By hand: MOTO_SERVER names
// the program, of a version that is known to work.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { pngOf } from "./flows.ts";
import { freePort } from "./harness/free-port.ts";
import { projectDir } from "./harness/project.ts";
import { S3Host } from "./harness/s3-host.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";
import { acted, act, digest, untilState } from "./migrations.ts";

const MOTO = process.env.MOTO_SERVER;
const PNG = readFileSync(join(projectDir, "tests/fixtures/images/rgb.png"));
/** More than two pages of a listing. */
const MANY = 2_100;
/** Two parts of 64 MiB. */
const LONG = pngOf(110_000_007, 3);
const ODD = [
  "a b.png", "a+b.png", "a%20b.png", "a&b=c.png", "ü/日本 🦊.png", "~!*'().png", "q?x#y.png", '"<>|^`{}[].png', "a//b.png",
  "back\\slash.png", "comma,semi;colon:@$.png", "trailing.", `${"x".repeat(1_010)}.png`,
].map((key) => `odd/${key}`);

describe("a bucket at moto's server", { skip: MOTO === undefined && "MOTO_SERVER names no moto_server" }, () => {
  let server: ChildProcess;
  let direct: string;
  let host: S3Host;
  let worker: RunningWorker;

  const put = async (key: string, body: Uint8Array<ArrayBuffer> | string, headers: Record<string, string> = {}) => {
    const path = key.split("/").map(encodeURIComponent).join("/");
    const response = await fetch(`${direct}/photos/${path}`, { method: "PUT", body, headers });
    assert.equal(response.status, 200, key);
  };

  before(async () => {
    const port = await freePort();
    direct = `http://127.0.0.1:${port}`;
    const setUp = 1 + ODD.length + MANY + 3 + 3;
    server = spawn(MOTO ?? "", ["-H", "127.0.0.1", "-p", String(port)], { stdio: "ignore", env: { ...process.env, INITIAL_NO_AUTH_ACTION_COUNT: String(setUp) } });
    for (let attempt = 0; ; attempt += 1) {
      const isUp = await fetch(`${direct}/moto-api/`).then(() => true, () => false);
      if (isUp) break;
      if (attempt === 300) throw new Error("moto_server does not start");
      await sleep(100);
    }
    assert.equal((await fetch(`${direct}/photos`, { method: "PUT" })).status, 200);
    for (const key of ODD) await put(key, PNG, { "content-type": "image/png", "x-amz-meta-author": "jane" });
    for (let from = 0; from < MANY; from += 50) {
      await Promise.all(Array.from({ length: 50 }, (_, at) => put(`many/${from + at}.txt`, `text ${from + at}`, { "content-type": "text/plain" })));
    }
    await put("long/long.png", LONG);
    await put("sick/a.png", PNG);
    await put("sick/large.png", pngOf(9 << 20, 1));
    const iam = async (fields: Record<string, string>) => {
      const headers = {
        "content-type": "application/x-www-form-urlencoded",
        authorization: "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=b",
      };
      const body = new URLSearchParams({ Version: "2010-05-08", UserName: "mover", ...fields });
      const response = await fetch(`${direct}/`, { method: "POST", headers, body });
      const text = await response.text();
      assert.equal(response.status, 200, text);
      return text;
    };
    await iam({ Action: "CreateUser" });
    const statement = { Effect: "Allow", Action: ["s3:ListBucket", "s3:GetObject"], Resource: "*" };
    await iam({ Action: "PutUserPolicy", PolicyName: "read", PolicyDocument: JSON.stringify({ Version: "2012-10-17", Statement: [statement] }) });
    const made = await iam({ Action: "CreateAccessKey" });
    const field = (name: string) => new RegExp(`<${name}>([^<]+)<`).exec(made)?.[1] ?? "";

    host = await S3Host.start(port);
    const source = (name: string, prefix: string) => ({ kind: "bucket", name, endpoint: host.origin, region: "us-east-1", bucket: "photos", prefix });
    const names = ["odd", "many", "long", "sick"];
    const secrets = names.flatMap((name) => [
      [`S3_SOURCE_${name.toUpperCase()}_ACCESS_KEY_ID`, field("AccessKeyId")],
      [`S3_SOURCE_${name.toUpperCase()}_SECRET_ACCESS_KEY`, field("SecretAccessKey")],
    ]);
    worker = await startWorker({
      vars: {
        ENABLE_R2_STORAGE: "true",
        MIGRATION_SOURCES: JSON.stringify([...names.map((name) => source(name, `${name}/`)), source("wrong", "odd/")]),
        ...Object.fromEntries(secrets),
        S3_SOURCE_WRONG_ACCESS_KEY_ID: field("AccessKeyId"),
        S3_SOURCE_WRONG_SECRET_ACCESS_KEY: "another-secret",
      },
    });
  });
  after(async () => {
    await worker?.stop();
    host?.stop();
    server?.kill("SIGKILL");
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
    assert.equal(run.progress.succeeded, ODD.length);
    for (const key of ODD) {
      const { sha256, metadata } = await copied(key);
      assert.equal(sha256, digest(PNG), key);
      assert.equal(metadata?.author, "jane", key);
    }
    const again = await runOver("odd");
    assert.equal(again.progress.done, 0);
  });

  test("pages follow each other", async () => {
    const run = await runOver("many");
    assert.deepEqual([run.state, run.progress.succeeded], ["completed", MANY], JSON.stringify(run));
    assert.equal((await copied(`many/${MANY - 1}.txt`)).type, "text/plain");
    assert.equal(host.asked.filter(({ isListing }) => isListing).length > 2, true);
  });

  test("a long object comes in parts", async () => {
    const run = await runOver("long");
    assert.equal(run.state, "completed", JSON.stringify(run));
    assert.equal((await copied("long/long.png")).sha256, digest(LONG));
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
    server.kill("SIGSTOP");
    setTimeout(() => server.kill("SIGCONT"), 3_000);
    assert.equal((await runOver("sick")).state, "completed");
    const valid = await acted(worker, { action: "validate", source: "sick", checkIntegrity: true });
    assert.equal(valid.result.valid, 2, JSON.stringify(valid));
  });
});
