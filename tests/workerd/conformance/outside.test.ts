// Calls to outside services: what arrives there, and what every kind of bad answer comes to.
import assert from "node:assert/strict";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";

import { Response as WorkerResponse } from "miniflare";

import type { RunningWorker } from "../harness/worker.ts";
import { startConformance } from "./server.ts";

interface Call {
  url: string;
  body?: string;
  timeout_ms?: number;
  max_response_bytes?: number;
  max_redirects?: number;
  /** Reads so many bytes of the answer by themselves. */
  first_bytes?: number;
  /** Reads the rest, too; otherwise the answer is dropped. */
  reads_on?: boolean;
}

async function call(worker: RunningWorker, request: Call) {
  const query = encodeURIComponent(JSON.stringify({ timeout_ms: 10_000, max_response_bytes: 1_000_000, ...request }));
  return (await worker.fetch(`/conformance/outside?${query}`)).text();
}

/** What a service on the next port does, by path. */
const SERVICE: Record<string, (request: http.IncomingMessage, response: http.ServerResponse) => void> = {
  "/bytes": (_, response) => response.end(Buffer.alloc(1_000)),
  "/teapot": (_, response) => response.writeHead(418, { "x-echo": "short and stout" }).end("tea"),
  "/empty": (_, response) => response.writeHead(204).end(),
  "/echo": (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const { method, headers } = request;
      const length = headers["content-length"] ?? "none";
      const body = Buffer.concat(chunks).toString("hex");
      response.setHeader("x-echo", `${method} ${length} ${headers.authorization} ${headers["x-test"]} [${body}]`);
      response.end();
    });
  },
  "/streamed": (_, response) => {
    response.write(Buffer.alloc(600_000));
    response.end(Buffer.alloc(400_000));
  },
  "/announces": (_, response) => response.writeHead(200, { "content-length": 1_000_001 }).flushHeaders(),
  "/silent": () => {},
  "/stalls": (_, response) => response.write("half"),
  "/breaks": (_, response) => {
    response.writeHead(200, { "content-length": 100 }).write("half");
    setTimeout(() => response.destroy(), 50);
  },
  "/away": (_, response) => response.writeHead(302, { location: "/bytes" }).end(),
};

describe("a call to an outside service", () => {
  let worker: RunningWorker;
  let base: string;
  const dropped: string[] = [];
  const service = http.createServer((request, response) => {
    const path = request.url ?? "";
    response.on("close", () => {
      if (!response.writableFinished) dropped.push(path);
    });
    SERVICE[path]?.(request, response);
  });

  before(async () => {
    worker = await startConformance();
    await new Promise<void>((resolve) => service.listen(0, "127.0.0.1", resolve));
    base = `http://127.0.0.1:${(service.address() as AddressInfo).port}`;
  });
  after(async () => {
    service.closeAllConnections();
    service.close();
    await worker.stop();
  });

  const droppedBy = async (path: string) => {
    while (!dropped.includes(path)) await new Promise((resolve) => setTimeout(resolve, 20));
  };

  it("answers with status, headers and body", async () => {
    assert.equal(await call(worker, { url: `${base}/bytes` }), "200 1000 ");
    assert.equal(await call(worker, { url: `${base}/teapot` }), "418 3 short and stout");
    assert.equal(await call(worker, { url: `${base}/empty` }), "204 0 ");
  });

  it("sends method, headers and body", async () => {
    const got = await call(worker, { url: `${base}/echo` });
    assert.equal(got, "200 0 GET none Bearer secret present []");
    const posted = await call(worker, { url: `${base}/echo`, body: "h\u00e9" });
    assert.equal(posted, "200 0 POST 3 Bearer secret present [68c3a9]");
  });

  it("takes an answer of the limit and none above it", async () => {
    for (const [path, size] of [
      ["/bytes", 1_000],
      ["/streamed", 1_000_000],
    ] as const) {
      assert.equal(await call(worker, { url: base + path, max_response_bytes: size }), `200 ${size} `);
      const above = await call(worker, { url: base + path, max_response_bytes: size - 1 });
      assert.equal(above, `ResponseTooLarge { limit_bytes: ${size - 1} }`);
    }
  });

  it("does not wait for an answer that announces more than the limit", async () => {
    assert.equal(await call(worker, { url: `${base}/announces` }), "ResponseTooLarge { limit_bytes: 1000000 }");
    await droppedBy("/announces");
  });

  it("streams the body, and ends when the answer is dropped half-way", async () => {
    assert.equal(await call(worker, { url: `${base}/stalls`, first_bytes: 4 }), "200 after 1: 4 then Ok(0)");
    await droppedBy("/stalls");
    dropped.length = 0;
  });

  it("streams no more than the limit", async () => {
    const streamed = { url: `${base}/streamed`, first_bytes: 500_000, reads_on: true };
    assert.equal(await call(worker, streamed), "200 after 1: 500000 then Ok(500000)");
    const above = await call(worker, { ...streamed, max_response_bytes: 999_999 });
    assert.equal(above, "200 after 1: 500000 then Err(ResponseTooLarge { limit_bytes: 999999 })");
  });

  it("ends a body that stalls past its time", async () => {
    const stalls = { url: `${base}/stalls`, first_bytes: 4, reads_on: true, timeout_ms: 500 };
    assert.equal(await call(worker, stalls), "200 after 1: 4 then Err(Timeout)");
    await droppedBy("/stalls");
    dropped.length = 0;
  });

  it("ends when its time is up", async () => {
    for (const path of ["/silent", "/stalls"]) {
      assert.equal(await call(worker, { url: base + path, timeout_ms: 200 }), "Timeout");
      await droppedBy(path);
    }
  });

  it("says when the answer broke off or nobody is there", async () => {
    assert.equal(await call(worker, { url: `${base}/breaks` }), "Interrupted");
    assert.equal(await call(worker, { url: "http://127.0.0.1:1/" }), "Connect");
    assert.equal(await call(worker, { url: "not a url" }), "Connect");
  });

  it("gives a redirect to a place without encryption as the answer", async () => {
    assert.equal(await call(worker, { url: `${base}/away`, max_redirects: 3 }), "302 0 ");
  });
});

describe("redirects", () => {
  let worker: RunningWorker;
  before(async () => {
    worker = await startConformance({
      fetchMock: (request) => {
        const url = new URL(request.url);
        const steps = Number(url.searchParams.get("steps"));
        const location = steps > 1 ? `?steps=${steps - 1}` : "https://cdn.example/image";
        if (steps > 0) return new WorkerResponse(null, { status: 302, headers: { location } });
        const echo = `${url.host} ${request.headers.get("authorization")}`;
        return new WorkerResponse("image", { headers: { "x-echo": echo } });
      },
    });
  });
  after(() => worker.stop());

  it("are followed as often as allowed, without the credentials", async () => {
    const start = "https://origin.example/";
    assert.equal(await call(worker, { url: start }), "200 5 origin.example Bearer secret");
    assert.equal(await call(worker, { url: `${start}?steps=1`, max_redirects: 1 }), "200 5 cdn.example null");
    assert.equal(await call(worker, { url: `${start}?steps=3`, max_redirects: 3 }), "200 5 cdn.example null");
    assert.equal(await call(worker, { url: `${start}?steps=3`, max_redirects: 2 }), "302 0 ");
    assert.equal(await call(worker, { url: `${start}?steps=1` }), "302 0 ");
  });
});

describe("a model", () => {
  let worker: RunningWorker;
  before(async () => {
    worker = await startConformance();
  });
  after(() => worker.stop());

  const run = async (input: object) =>
    (await worker.fetch(`/conformance/model?${encodeURIComponent(JSON.stringify(input))}`)).text();

  it("answers with JSON or bytes, in whatever form the binding gives them", async () => {
    assert.equal(await run({ json: "\u00e4" }), 'json {"model":"test","echo":"\u00e4"}');
    assert.equal(await run({ text: '{"a":1}', type: "application/json; charset=utf-8" }), 'json {"a":1}');
    assert.equal(await run({ bytes: 1_000 }), "binary 1000");
    assert.equal(await run({ bytes: 1_000, stream: true }), "binary 1000");
  });

  it("is not listened to beyond the limit", async () => {
    for (const input of [{ json: "x".repeat(1_000) }, { bytes: 1_001 }, { bytes: 1_001, stream: true }]) {
      assert.equal(await run(input), "ResponseTooLarge { limit_bytes: 1000 }");
    }
  });

  it("is not waited for beyond the deadline", async () => {
    for (const input of [{ hangs: true }, { stalls: true, bytes: 1 }, { stalls: true, bytes: 1, stream: true }]) {
      assert.equal(await run(input), "Timeout");
    }
  });

  it("fails with the platform's code", async () => {
    const refused = { text: '{"internalCode":3030,"description":"a prompt"}', status: 400 };
    assert.equal(await run(refused), "Failed { code: Some(3030) }");
    const unknown = { text: '{"errors":[{"code":5007,"message":"No such model"}]}', status: 400 };
    assert.equal(await run(unknown), "Failed { code: Some(5007) }");
    assert.equal(await run({ text: "<html>", status: 500 }), "Failed { code: None }");
    assert.equal(await run({ throws: "AiError: 5007: No such model" }), "Failed { code: Some(5007) }");
  });
});
