// Users by real keys: what Node signs, workerd's crypto.subtle checks, with keys fetched from a server.
import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync, sign } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { TestContext } from "node:test";

import { STORAGE_MODES, bytesOf, problemOf } from "./client.ts";
import type { Image } from "./harness/api-types.ts";
import { projectDir } from "./harness/project.ts";
import { API_TOKEN, startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";

const PNG = new Uint8Array(readFileSync(join(projectDir, "tests/fixtures/images/rgb.png")));
const SECRET = "a secret of at least 32 characters";

type Algorithm = "RS256" | "ES256";
type Key = { id: string; algorithm: Algorithm; privateKey: KeyObject; publicKey: KeyObject };

function newKey(id: string, algorithm: Algorithm): Key {
  const pair =
    algorithm === "RS256" ? generateKeyPairSync("rsa", { modulusLength: 2048 }) : generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { id, algorithm, ...pair };
}

const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");

function claimsOf(user: string, changed: object = {}): object {
  return { sub: user, exp: Math.floor(Date.now() / 1000) + 600, aud: "stillstore", ...changed };
}

function tokenBy({ id, algorithm, privateKey }: Key, claims: object): string {
  const signed = `${encoded({ alg: algorithm, kid: id })}.${encoded(claims)}`;
  return `${signed}.${sign("sha256", Buffer.from(signed), { key: privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
}

function tokenBySecret(secret: string | Buffer, claims: object, header: object = { alg: "HS256" }): string {
  const signed = `${encoded(header)}.${encoded(claims)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

/** Publishes keys, and counts who asks for them. */
async function keyServer(t: TestContext, keys: Key[]) {
  const published = { keys, requests: 0, url: "" };
  const server = createServer((_, response) => {
    published.requests += 1;
    const jwks = published.keys.map(({ id, publicKey }) => ({ ...publicKey.export({ format: "jwk" }), kid: id, use: "sig" }));
    response.setHeader("content-type", "application/json").end(JSON.stringify({ keys: jwks }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  published.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`;
  return published;
}

function ask(worker: RunningWorker, token: string | undefined, method: string, path: string, init: RequestInit = {}) {
  const headers: Record<string, string> = { ...(init.headers as Record<string, string>) };
  if (token !== undefined) headers.authorization = `Bearer ${token}`;
  return worker.fetch(path, { ...init, method, headers });
}

async function statusOf(response: Promise<Response>): Promise<number> {
  const answer = await response;
  await bytesOf(answer);
  return answer.status;
}

for (const algorithm of ["RS256", "ES256"] as const) {
  test(`a user with an ${algorithm} token has their own images, and no other token opens anything`, async (t) => {
    const key = newKey("key-1", algorithm);
    const server = await keyServer(t, [key]);
    const worker = await startWorker({ vars: { JWT_JWKS_URL: server.url, JWT_AUDIENCE: "stillstore" } });
    t.after(() => worker.stop());
    const [alice, bob] = [tokenBy(key, claimsOf("alice")), tokenBy(key, claimsOf("bob"))];

    const uploaded = await ask(worker, alice, "POST", "/api/images?visibility=private", { body: PNG });
    assert.equal(uploaded.status, 201);
    const { id } = (await uploaded.json()) as Image;
    for (const [token, ofImage, ofBytes] of [
      [alice, 200, 200], [bob, 404, 404], [API_TOKEN, 200, 200], [undefined, 401, 403],
    ] as const) {
      assert.equal(await statusOf(ask(worker, token, "GET", `/api/images/${id}`)), ofImage);
      assert.equal(await statusOf(ask(worker, token, "GET", `/images/${id}`)), ofBytes);
    }
    assert.deepEqual(await bytesOf(await ask(worker, alice, "GET", `/images/${id}`)), Buffer.from(PNG));
    assert.deepEqual(await problemOf(await ask(worker, alice, "GET", "/metrics")), { status: 403, code: "forbidden" });

    const publicKey = key.publicKey.export({ type: "spki", format: "pem" });
    const seconds = Math.floor(Date.now() / 1000);
    for (const token of [
      tokenBy(newKey("key-1", algorithm), claimsOf("alice")),
      tokenBy(newKey("key-1", algorithm === "RS256" ? "ES256" : "RS256"), claimsOf("alice")),
      tokenBy(key, claimsOf("alice", { exp: seconds - 61 })),
      tokenBy(key, claimsOf("alice", { nbf: seconds + 120 })),
      tokenBy(key, claimsOf("alice", { aud: "others" })),
      tokenBySecret(publicKey, claimsOf("alice"), { alg: "HS256", kid: "key-1" }),
      tokenBySecret(publicKey, claimsOf("alice"), { alg: algorithm, kid: "key-1" }),
      `${encoded({ alg: "none" })}.${encoded(claimsOf("alice"))}.`,
      alice.slice(0, -1),
      alice.slice(0, alice.length / 2),
    ]) {
      assert.deepEqual(await problemOf(await ask(worker, token, "GET", `/api/images/${id}`)), { status: 401, code: "unauthorized" });
    }
    assert.equal(server.requests, 1);
    assert.equal(await statusOf(ask(worker, bob, "DELETE", `/api/images/${id}`)), 404);
    assert.equal(await statusOf(ask(worker, alice, "DELETE", `/api/images/${id}`)), 204);
  });
}

test("requests that come at once before there are keys wait for one fetch", async (t) => {
  const key = newKey("key-1", "ES256");
  const server = await keyServer(t, [key]);
  const worker = await startWorker({ vars: { JWT_JWKS_URL: server.url } });
  t.after(() => worker.stop());
  const alice = tokenBy(key, claimsOf("alice"));
  const statuses = await Promise.all(Array.from({ length: 10 }, () => statusOf(ask(worker, alice, "GET", "/api/images"))));
  assert.deepEqual(statuses, Array(10).fill(200));
  assert.equal(server.requests, 1);
});

for (const { storage, vars } of STORAGE_MODES) {
  describe(`with images in ${storage}`, () => {
    test("uploads at once do not exceed a user's limits", async (t) => {
      const limits = { USER_MAX_BYTES: `${5 * PNG.length}`, USER_MAX_IMAGES_PER_DAY: "6" };
      const worker = await startWorker({ vars: { ...vars, ...limits, JWT_SECRET: SECRET } });
      t.after(() => worker.stop());
      const alice = tokenBySecret(SECRET, claimsOf("alice"));
      const upload = () => ask(worker, alice, "POST", "/api/images", { body: PNG });
      const answers = await Promise.all(Array.from({ length: 12 }, upload));
      const stored = answers.filter(({ status }) => status === 201);
      assert.equal(stored.length, 5);
      for (const answer of answers.filter(({ status }) => status !== 201)) {
        assert.deepEqual(await problemOf(answer), { status: 507, code: "byte-limit-reached" });
      }
      const { id } = (await stored[0]?.json()) as Image;
      assert.equal(await statusOf(ask(worker, alice, "DELETE", `/api/images/${id}`)), 204);
      assert.deepEqual([await statusOf(upload()), await statusOf(upload())], [201, 507]);
      const { id: another } = (await stored[1]?.json()) as Image;
      assert.equal(await statusOf(ask(worker, alice, "DELETE", `/api/images/${another}`)), 204);
      const refused = await upload();
      assert.ok(Number(refused.headers.get("retry-after")) > 0);
      assert.deepEqual(await problemOf(refused), { status: 429, code: "image-limit-reached" });
      const usage = await worker.db.prepare("SELECT bytes, images FROM stillstore_usage").first();
      assert.deepEqual(usage, { bytes: 4 * PNG.length, images: 6 });
    });
  });
}

test("an upload of a user's without limits costs what the operator's does", async (t) => {
  const worker = await startWorker({ vars: { JWT_SECRET: SECRET }, faults: true });
  t.after(() => worker.stop());
  const costOf = async (token: string) => {
    await worker.faults.forgetCalls();
    assert.equal(await statusOf(ask(worker, token, "POST", "/api/images", { body: PNG })), 201);
    const calls = await worker.faults.calls();
    const sumOf = (field: "rowsRead" | "rowsWritten") => calls.reduce((sum, call) => sum + (call[field] ?? 0), 0);
    return { calls: calls.map(({ method }) => method), read: sumOf("rowsRead"), written: sumOf("rowsWritten") };
  };
  const [operators, users] = [await costOf(API_TOKEN), await costOf(tokenBySecret(SECRET, claimsOf("alice")))];
  // The entry in the index of owners is one row more, and the index of nobody's images none.
  assert.deepEqual(users, { ...operators, written: operators.written + 1 });
});
