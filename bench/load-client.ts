// The program that `LoadClient` runs.
import { Client } from "undici";

import { uploadedBytes } from "./load-body.ts";
import type { Outcome, Plan } from "./load.ts";

process.on("message", async (plan: Plan) => {
  const answer = await load(plan).catch((error) => ({ error: String(error?.message ?? error) }));
  process.send?.(answer);
});

async function load(plan: Plan): Promise<Outcome> {
  const url = new URL(plan.url);
  const body = bodyOf(plan.body);
  const clients = Array.from({ length: plan.connections }, () => new Client(url.origin, { pipelining: 1 }));
  const start = performance.now();
  const end = plan.seconds === undefined ? Infinity : start + plan.seconds * 1_000;
  let begun = 0;
  let requests = 0;
  const work = async (client: Client) => {
    while (performance.now() < end && begun < (plan.requests ?? Infinity)) {
      begun += 1;
      await ask(client, url, plan, body);
      requests += 1;
    }
  };
  await Promise.all(clients.map(work));
  const seconds = (performance.now() - start) / 1_000;
  await Promise.all(clients.map((client) => client.destroy()));
  return { requests, seconds };
}

function bodyOf(body: Plan["body"]): Buffer | string | null {
  return typeof body === "number" ? uploadedBytes(body) : (body ?? null);
}

function ask(client: Client, url: URL, plan: Plan, body: Buffer | string | null): Promise<void> {
  return new Promise((resolve, reject) => {
    let bytes = 0;
    let status = 0;
    const request = { path: url.pathname + url.search, method: plan.method ?? "GET", headers: plan.headers ?? {}, body };
    client.dispatch(request, {
      onConnect() {},
      onHeaders(code) {
        status = code;
        return true;
      },
      onData(chunk) {
        bytes += chunk.length;
        return true;
      },
      onComplete() {
        if (status !== plan.status) reject(new Error(`answered with ${status}, not ${plan.status}`));
        else if (plan.bytes !== undefined && bytes !== plan.bytes) reject(new Error(`answered with ${bytes} bytes`));
        else resolve();
      },
      onError: reject,
    });
  });
}
