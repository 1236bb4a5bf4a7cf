// The migration routes of a Worker for tests of the command line: one run that goes as scripted.
import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

const ROUTE = "/api/migrate-images";

export type StubProgress = { total: number | null; done: number; succeeded: number; failed: number; skipped: number; bytes: number };

export type StubRun = {
  id: string;
  action: string;
  source: string;
  dryRun: boolean;
  state: string;
  progress: StubProgress;
  result: Record<string, unknown> | null;
  createdAt: string;
  updatedAt: string;
  finishedAt: string | null;
  receipt: { key: string; sha256: string; bytes: number; lines: number } | null;
};

/** What changes in the run each time it is asked for; the last stays. */
export type Step = Partial<Omit<StubRun, "progress">> & { progress?: Partial<StubProgress> };

/** In place of an answer: a status with a problem document, or a connection that breaks. */
export type Trouble = { status: number; code?: string; field?: string; retryAfter?: string } | "broken";

export type StubRequest = { method: string; path: string; authorization: string | undefined; body: any };

const AT = "2026-11-21T09:30:00.000Z";

export class MigrationStub {
  readonly requests: StubRequest[] = [];
  /** The run that is there, which is in the way of another while it is running or paused. */
  run: StubRun | undefined;
  steps: Step[] = [];
  stats: object = { totalImages: 1234, migratedImages: 1000, base64Images: 234, estimatedSpaceSaved: 5_600_000 };
  /** Happens to the next requests, in this order. */
  troubles: Trouble[] = [];
  /** Requests that start a run are answered after it. */
  startAfter: Promise<unknown> | undefined;
  /** Requests that pause or resume are answered after it. */
  pauseAfter: Promise<unknown> | undefined;
  /** What reconciliations are answered with, one after the other. */
  slices: object[] = [];
  #server: Server;
  #waiting: (() => void)[] = [];

  private constructor(server: Server) {
    this.#server = server;
    server.on("request", (request, response) => void this.#serve(request, response));
  }

  static async start(): Promise<MigrationStub> {
    const server = createServer();
    const stub = new MigrationStub(server);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return stub;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Waits for a request that fits, past or to come. */
  async requested(fits: (request: StubRequest) => boolean): Promise<void> {
    while (!this.requests.some(fits)) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** The bodies of the actions asked for. */
  get actions(): any[] {
    return this.requests.filter(({ method }) => method === "POST").map(({ body }) => body);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const text = Buffer.concat(await Array.fromAsync(request)).toString();
    const [method = "", path = ""] = [request.method, request.url];
    const body = text === "" ? undefined : JSON.parse(text);
    this.requests.push({ method, path, authorization: request.headers.authorization, body });
    for (const wake of this.#waiting.splice(0)) wake();
    const trouble = this.troubles.shift();
    if (trouble === "broken") {
      response.destroy();
      return;
    }
    if (trouble !== undefined) {
      if (trouble.retryAfter !== undefined) response.setHeader("retry-after", trouble.retryAfter);
      send(response, trouble.status, problem(trouble.status, trouble.code ?? "internal-error", { field: trouble.field }));
      return;
    }
    if (method === "POST" && path === "/api/reconcile") send(response, 200, this.slices.shift() ?? {});
    else if (method === "POST" && path === ROUTE) await this.#act(body, response);
    else if (path === ROUTE) send(response, 200, this.#overview());
    else if (this.run !== undefined && path === `${ROUTE}/runs/${this.run.id}`) send(response, 200, this.#step(this.run));
    else send(response, 404, problem(404, "run-not-found"));
  }

  async #act(body: any, response: ServerResponse): Promise<void> {
    const { action, runId } = body;
    if (action === "status") return send(response, 200, this.#answer(action));
    if (action === "resume" || action === "pause") {
      if (this.run === undefined || this.run.id !== runId) return send(response, 404, problem(404, "run-not-found"));
      this.run.state = action === "resume" ? "running" : "paused";
      await this.pauseAfter;
      return send(response, 200, this.#answer(action));
    }
    if (this.run !== undefined && ["running", "paused"].includes(this.run.state)) {
      return send(response, 409, problem(409, "run-in-progress", { runId: this.run.id }));
    }
    this.run = runOf({ action, dryRun: body.dryRun ?? false });
    await this.startAfter;
    send(response, 202, this.#answer(action));
  }

  #answer(action: string): object {
    const { id, state, source, dryRun } = this.run ?? {};
    const result = action === "status" ? (this.run ?? null) : {};
    return { success: true, action, dryRun, done: false, runId: id, state, source, background: true, next: "", result };
  }

  #overview(): object {
    return {
      success: true,
      r2Status: "connected",
      migrationStats: this.stats,
      sources: ["embedded", "images"],
      run: this.run ?? null,
    };
  }

  #step(run: StubRun): StubRun {
    const step = this.steps.length > 1 ? this.steps.shift() : this.steps[0];
    if (run.state !== "paused") Object.assign(run, { ...step, progress: { ...run.progress, ...step?.progress } });
    return run;
  }
}

/** A run that has just begun, but for what is said. */
export function runOf(fields: Partial<StubRun>): StubRun {
  return {
    id: "run-1",
    action: "migrate",
    source: "embedded",
    dryRun: false,
    state: "running",
    progress: { total: null, done: 0, succeeded: 0, failed: 0, skipped: 0, bytes: 0 },
    result: null,
    createdAt: AT,
    updatedAt: AT,
    finishedAt: null,
    receipt: null,
    ...fields,
  };
}

function problem(status: number, code: string, more: object = {}): object {
  return { type: `urn:stillstore:${code}`, title: `Title of ${code}`, status, code, detail: `detail of ${code}`, ...more };
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
