// A refusal reaches a client that is still sending, as itself: through `npm start`, whose proxy takes a connection that ends early for a
// broken Worker, and on the Worker's own socket.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { request } from "node:http";
import { Readable } from "node:stream";
import { describe, test } from "node:test";
import type { TestContext } from "node:test";
import { text } from "node:stream/consumers";

import { API_TOKEN, startWorker } from "./harness/worker.ts";
import { npmStart } from "./npm-start.ts";

const MB = 1_000_000;

type Refused = { name: string; sizeBytes: number; token?: string; status: number; code: string };

const REFUSED: Refused[] = [
  { name: "415 of 1 MB", sizeBytes: 1 * MB, token: API_TOKEN, status: 415, code: "not-an-image" },
  { name: "415 of 90 MB", sizeBytes: 90 * MB, token: API_TOKEN, status: 415, code: "not-an-image" },
  { name: "401 of 10 MB", sizeBytes: 10 * MB, status: 401, code: "unauthorized" },
  { name: "413 of 110 MB", sizeBytes: 110 * MB, token: API_TOKEN, status: 413, code: "body-too-large" },
];

/** curl with more bytes to send than it will ever be allowed. */
async function sendWithoutEnd(url: string): Promise<{ status: number; body: string }> {
  const endless = Readable.from((function* () { for (;;) yield Buffer.alloc(MB); })());
  const curl = spawnCurl(`${url}/api/images`, ["-H", `Authorization: Bearer ${API_TOKEN}`, "-X", "POST", "-T", "-"]);
  endless.pipe(curl.stdin.on("error", () => endless.destroy()));
  return answerOf(await text(curl.stdout));
}

function spawnCurl(url: string, args: string[]) {
  return spawn("curl", ["-s", ...args, "-w", "\n%{http_code}", url], { stdio: ["pipe", "pipe", "inherit"] });
}

/** What curl wrote: the body, and the status in a line of its own. */
function answerOf(output: string): { status: number; body: string } {
  const [, body = "", status] = /^(.*)\n(\d+)$/s.exec(output) ?? [];
  return { status: Number(status), body };
}

/** How the bytes are sent. Each gets status and body of the answer, or throws when the connection breaks. */
const CLIENTS = {
  /** Stops sending when it has its answer. */
  curl: async (url: string, { sizeBytes, token }: Refused) => {
    const headers = token === undefined ? [] : ["-H", `Authorization: Bearer ${token}`];
    const curl = spawnCurl(url, [...headers, "--data-binary", "@-"]);
    curl.stdin.on("error", () => {}).end(Buffer.alloc(sizeBytes, 1));
    return answerOf(await text(curl.stdout));
  },
  /** Sends everything before it looks for an answer, as many libraries do. */
  "a client that sends all first": async (url: string, { sizeBytes, token }: Refused) => {
    const headers = { "content-length": sizeBytes, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) };
    const sending = request(url, { method: "POST", headers });
    const answered = new Promise<{ status: number; body: string }>((resolve, reject) => {
      sending.on("error", reject);
      sending.on("response", async (response) => {
        await sent;
        resolve({ status: response.statusCode ?? 0, body: await text(response) });
      });
    });
    const sent = new Promise<void>((resolve) => sending.end(Buffer.alloc(sizeBytes, 1), resolve));
    await sent;
    return answered;
  },
};

async function check(t: TestContext, url: string): Promise<void> {
  for (const refused of REFUSED) {
    for (const [client, send] of Object.entries(CLIENTS)) {
      await t.test(`${refused.name}, by ${client}`, async () => {
        const { status, body } = await send(`${url}/api/images?filename=a.bin`, refused);
        assert.equal(status, refused.status, body);
        assert.equal(JSON.parse(body).code, refused.code);
      });
    }
  }
  await t.test("a deletion that comes with a body is done", async () => {
    const headers = { authorization: `Bearer ${API_TOKEN}` };
    const path = "/api/images/00000000000000000000000000000000";
    const response = await fetch(url + path, { method: "DELETE", headers, body: Buffer.alloc(5 * MB) });
    assert.equal(response.status, 404, await response.text());
  });
}

describe("a refused upload", () => {
  test("through npm start", async (t) => {
    const { url } = await npmStart(t, ["--var", "ALLOW_UNAUTHENTICATED:false", "--var", `API_TOKEN:${API_TOKEN}`]);
    await check(t, url);
    // The proxy may break such a connection before the client has read its answer.
    await t.test("a body without end comes to an end", async () => {
      await sendWithoutEnd(url);
      const response = await fetch(`${url}/health`);
      assert.equal(response.status, 200, await response.text());
    });
  });

  test("on the Worker's own socket", async (t) => {
    const worker = await startWorker();
    t.after(() => worker.stop());
    const url = worker.url.replace(/\/$/, "");
    await check(t, url);
    await t.test("415 of a body without end, by a client that stops when it is answered", async () => {
      const { status, body } = await sendWithoutEnd(url);
      assert.equal(status, 415, body);
      assert.equal(JSON.parse(body).code, "not-an-image");
    });
  });
});
