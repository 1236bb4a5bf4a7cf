// Starts a Worker in workerd, with real local D1 and R2, for tests that speak HTTP to it.
import { join } from "node:path";

import { Miniflare } from "miniflare";
import type { Request as MiniflareRequest, Response as MiniflareResponse, WorkerOptions } from "miniflare";

import { Control } from "./control.ts";
import { FaultControl } from "./fault-control.ts";
import { LogCollector } from "./logs.ts";
import type { LogLine } from "./logs.ts";
import { applyMigrations } from "./migrations.ts";
import { MAIN_MODULE, WORKER_MODULE, builtWorker, harnessModules, withCache } from "./modules.ts";
import type { Modules } from "./modules.ts";
import { projectDir, readMigrations, readWranglerConfig } from "./project.ts";
import type { Migration, QueueConsumer, WranglerConfig } from "./project.ts";
import type { WasmTraffic } from "./wasm-traffic.ts";
import { withChildProcesses, withSilentWorkerd } from "./workerd-process.ts";

export const API_TOKEN = "test-token-of-more-than-32-characters";

/** Refuses connections. */
const NO_CONTROL = new URL("http://127.0.0.1:1");

/** Opens workerd's S3 endpoint. */
export const S3_CREDENTIALS = { accessKeyId: "made-up-key-id", secretAccessKey: "made-up-secret" };

export type Bindings = NonNullable<WorkerOptions["config"]["env"]>;

export type Database = Awaited<ReturnType<Miniflare["getD1Database"]>>;
export type Bucket = Awaited<ReturnType<Miniflare["getR2Bucket"]>>;
export type Queue = Awaited<ReturnType<Miniflare["getQueueProducer"]>>;

type Trigger = NonNullable<WorkerOptions["config"]["triggers"]>[number];

type Handler = (request: MiniflareRequest) => MiniflareResponse | Promise<MiniflareResponse>;

export type WorkerSettings = {
  /** Directory that keeps D1 and R2 from one start to the next; they end with the Worker when absent. */
  persist?: string;
  /** Added to those of wrangler.toml and `API_TOKEN`; undefined takes one away. */
  vars?: Record<string, string | undefined>;
  /** More bindings, in Miniflare's form. */
  bindings?: Bindings;
  /** False for a Worker that has no bucket. */
  r2?: boolean;
  /** Opens workerd's own S3 endpoint, which checks signatures, at this port, and gives the Worker an access key for the bucket there. */
  s3Port?: number;
  /** Names of bindings to more D1 databases, which start empty. */
  databases?: string[];
  /** False for a Worker that has no queue; otherwise a real one, whose messages are lost with workerd. */
  queue?: boolean;
  /** Serves the console's files in front of the Worker. */
  console?: true;
  /** The build with the conformance routes. */
  conformance?: boolean;
  /** Intercepts D1, R2, queues and AI so that `faults` works. */
  faults?: true;
  /** Counts what crosses between the Worker's JavaScript and its wasm, so that `wasmTraffic` works. */
  wasmTraffic?: true;
  /** Runs the Worker's own module as it is deployed, without the harness in front: no faults, no look at wasm memory, no logs. */
  bare?: true;
  /** Answers every request the Worker makes to the outside, which otherwise goes there. */
  fetchMock?: Handler;
  /** Gives the Worker the binding `AI` and answers for it: gets `{ model, input }` as JSON. */
  ai?: Handler;
  /** Puts a cache in front of the Worker, as far as it can be purged: gets what `purge` gets as JSON, and answers with its result. */
  cache?: Handler;
  /** Opens workerd's inspector, for profiles and heaps: `inspectorUrl`. */
  inspector?: true;
  /** Gets each line of the log in place of `logs` and `waitForLog`, which keep them all. */
  onLog?: (line: LogLine) => void;
  /** Runs in place of the built Worker. */
  worker?: Modules;
  /** SQL to apply in place of the migrations directory. */
  migrations?: Migration[];
};

export type RunningWorker = {
  /** Where the Worker listens, without a proxy in front. Ends in a slash. */
  url: string;
  /** Does not follow redirects. */
  fetch(path: string, init?: RequestInit): Promise<Response>;
  /** The Worker's database and bucket, past any fault. */
  db: Database;
  bucket: Bucket;
  /** One of the databases that the setting `databases` adds, past any fault. */
  database(binding: string): Promise<Database>;
  /** Sends what the Worker will get as a message of its queue. */
  queue: Queue;
  faults: FaultControl;
  /** What the Worker logged so far. */
  logs(): LogLine[];
  /** The first line logged that fits, past or to come. */
  waitForLog(fits: (line: LogLine) => boolean): Promise<LogLine>;
  /** Size of the Worker's wasm memory: its peak, since it never shrinks. */
  wasmMemoryBytes(): Promise<number>;
  /** How many instances of the codecs there have been, and the largest memory of one. */
  codecs(): Promise<{ instances: number; peakBytes: number }>;
  /** What crossed between JavaScript and wasm since the start or the last time it was asked for. */
  wasmTraffic(): Promise<WasmTraffic>;
  /** Where the inspector lists the isolates. */
  inspectorUrl(): Promise<URL>;
  /** The processes of workerd. */
  processIds: number[];
  /** Lets the cron event happen, and waits for its end. */
  scheduled(): Promise<void>;
  /** Kills workerd with SIGKILL, in the middle of whatever it does. */
  kill(): Promise<void>;
  stop(): Promise<void>;
};

export async function startWorker(settings: WorkerSettings = {}): Promise<RunningWorker> {
  const config = readWranglerConfig();
  const logs = new LogCollector(settings.onLog);
  const start = async () => {
    const instance = new Miniflare({
      cf: false,
      telemetry: { enabled: false },
      enableDevRegistry: false,
      handleStructuredLogs: logs.add,
      ...(settings.inspector ? { inspectorPort: 0 } : {}),
      ...(settings.persist === undefined ? {} : { resourcePersistencePath: settings.persist }),
      ...(settings.s3Port === undefined ? {} : { port: settings.s3Port }),
      workers: [workerOptions(config, settings)],
    });
    await instance.ready;
    return instance;
  };
  const { result: miniflare, children } = await withChildProcesses(() => (settings.bare ? withSilentWorkerd(start) : start()));
  // The sockets of Workers themselves have no assets in front.
  const url = settings.console ? await miniflare.ready : await miniflare.unsafeGetDirectURL(config.name);
  const control = new Control(settings.bare ? NO_CONTROL : await miniflare.unsafeGetDirectURL(config.name, "HarnessControl"));

  const database = config.d1_databases?.[0];
  if (database === undefined) throw new Error("wrangler.toml names no D1 database.");
  const db = await miniflare.getD1Database(database.binding);
  const migrations = settings.migrations ?? readMigrations(database.migrations_dir ?? "migrations");
  await applyMigrations(db, migrations, database.migrations_table);

  const bucketBinding = config.r2_buckets?.[0]?.binding;
  let bucket: Bucket | undefined;
  if (settings.r2 !== false && bucketBinding !== undefined) bucket = await miniflare.getR2Bucket(bucketBinding);

  const queueBinding = config.queues?.producers?.[0]?.binding;
  let queue: Queue | undefined;
  if (settings.queue !== false && queueBinding !== undefined) queue = await miniflare.getQueueProducer(queueBinding);

  return {
    url: url.href,
    fetch: (path, init) => fetch(new URL(path, url), { redirect: "manual", ...init }),
    db,
    get bucket() {
      if (bucket === undefined) throw new Error("This Worker was started without a bucket.");
      return bucket;
    },
    database: (binding) => miniflare.getD1Database(binding),
    get queue() {
      if (queue === undefined) throw new Error("This Worker was started without a queue.");
      return queue;
    },
    faults: new FaultControl(control),
    logs: () => [...logs.lines],
    waitForLog: (fits) => logs.waitFor(fits),
    async wasmMemoryBytes() {
      const bytes = await control.send("GET", "/wasm-memory");
      if (typeof bytes !== "number") throw new Error("This Worker has no wasm memory.");
      return bytes;
    },
    codecs: () => control.send("GET", "/wasm-codecs") as Promise<{ instances: number; peakBytes: number }>,
    wasmTraffic: () => control.send("DELETE", "/wasm-traffic") as Promise<WasmTraffic>,
    async inspectorUrl() {
      const { host } = await miniflare.getInspectorURL();
      return new URL(`http://${host}`);
    },
    processIds: children.flatMap(({ pid }) => pid ?? []),
    async scheduled() {
      const fetcher = await miniflare.getWorker(config.name);
      const { outcome } = await fetcher.scheduled({ cron: "*/10 * * * *" });
      if (outcome !== "ok") throw new Error(`The cron event ended with ${outcome}.`);
    },
    async kill() {
      for (const child of children) child.kill("SIGKILL");
      await miniflare.dispose();
    },
    stop: () => miniflare.dispose(),
  };
}

function workerOptions(config: WranglerConfig, settings: WorkerSettings): WorkerOptions {
  const built = settings.worker ?? builtWorker(settings.conformance ? "build-conformance" : "build");
  const worker = settings.cache === undefined ? built : withCache(built);
  const { fetchMock } = settings;
  return {
    config: {
      name: config.name,
      compatibilityDate: config.compatibility_date,
      compatibilityFlags: config.compatibility_flags ?? [],
      manifest: settings.bare
        ? { mainModule: WORKER_MODULE, modules: worker }
        : { mainModule: MAIN_MODULE, modules: { ...harnessModules(), ...worker } },
      env: environment(config, settings),
      ...(settings.console ? { assets: consoleAssets(config) } : {}),
      triggers: settings.queue === false ? [] : (config.queues?.consumers ?? []).map(queueTrigger),
    },
    dev: {
      unsafeDirectSockets: [
        { host: "127.0.0.1", port: 0 },
        ...(settings.bare ? [] : [{ host: "127.0.0.1", port: 0, entrypoint: "HarnessControl" }]),
      ],
      ...(fetchMock === undefined ? {} : { outboundService: { type: "fetcher", handler: fetchMock } }),
    },
  };
}

function consoleAssets({ assets }: WranglerConfig) {
  if (assets === undefined) throw new Error("wrangler.toml names no assets.");
  return { directory: join(projectDir, assets.directory), hasUserWorker: true };
}

function queueTrigger(consumer: QueueConsumer): Trigger {
  return {
    type: "queue",
    name: consumer.queue,
    maxBatchSize: consumer.max_batch_size,
    maxBatchTimeout: consumer.max_batch_timeout,
    maxRetries: consumer.max_retries,
    retryDelay: consumer.retry_delay,
  };
}

function environment(config: WranglerConfig, settings: WorkerSettings): Bindings {
  const { vars, bindings, r2, databases = [], queue, faults, ai, cache, s3Port } = settings;
  const env: Bindings = {};
  const s3 = s3Port === undefined ? {} : s3Variables(s3Port, config.r2_buckets?.[0]?.bucket_name);
  for (const [name, value] of Object.entries({ ...config.vars, API_TOKEN, ...s3, ...vars })) {
    if (typeof value === "string") env[name] = { type: "text", value };
    else if (value !== undefined) throw new Error(`The var ${name} of wrangler.toml is not a string.`);
  }
  for (const { binding, database_id: id } of config.d1_databases ?? []) env[binding] = { type: "d1", id };
  for (const binding of databases) env[binding] = { type: "d1", id: `stillstore-test-${binding}` };
  if (queue !== false) {
    for (const { binding, queue: name, delivery_delay: deliveryDelay } of config.queues?.producers ?? []) {
      env[binding] = { type: "queue", name, deliveryDelay };
    }
  }
  if (r2 !== false) {
    const dev = s3Port === undefined ? {} : { dev: { experimentalS3Credentials: S3_CREDENTIALS } };
    for (const { binding, bucket_name: name } of config.r2_buckets ?? []) env[binding] = { type: "r2", name, ...dev };
  }
  if (faults) env.HARNESS_FAULTS = { type: "text", value: "on" };
  if (settings.wasmTraffic) env.HARNESS_WASM_TRAFFIC = { type: "text", value: "on" };
  if (cache !== undefined) env.HARNESS_CACHE = { type: "fetcher", handler: cache };
  if (ai !== undefined) env.HARNESS_AI = { type: "fetcher", handler: ai };
  return { ...env, ...bindings };
}

function s3Variables(port: number, bucket: string | undefined): Record<string, string | undefined> {
  return {
    R2_ENDPOINT: `http://127.0.0.1:${port}/cdn-cgi/local/r2/s3`,
    R2_ACCESS_KEY_ID: S3_CREDENTIALS.accessKeyId,
    R2_SECRET_ACCESS_KEY: S3_CREDENTIALS.secretAccessKey,
    R2_BUCKET_NAME: bucket,
  };
}
