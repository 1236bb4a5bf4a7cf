// A run: images are stored, asked for and stored some more by many clients at once while memory is watched, and looked at in the end.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { quantile } from "../bench/measure.ts";
import { sha256 } from "../tests/workerd/client.ts";
import type { LogLine } from "../tests/workerd/harness/logs.ts";
import { startWorker } from "../tests/workerd/harness/worker.ts";
import { randomNumbers } from "../tests/workerd/random.ts";
import { Checker } from "./checker.ts";
import type { Checked } from "./checker.ts";
import { MemoryWatch } from "./memory.ts";
import type { MemorySample } from "./memory.ts";
import { asksOf, connectionsOf } from "./mix.ts";
import type { Ask } from "./mix.ts";
import { problemsOf, runOha } from "./oha.ts";
import type { Outcome } from "./oha.ts";
import { stock, stockEmbedded } from "./stock.ts";
import { verify } from "./verify.ts";
import type { Expected, Verified } from "./verify.ts";

export type ClientRow = Outcome & { title: string; connections: number };

export type LoadResult = {
  seconds: number;
  connections: number;
  seed: number;
  clients: ClientRow[];
  checked: Pick<Checked, "compared" | "comparedBytes" | "uploaded" | "deleted">;
  verified: Verified;
  memory: MemorySample[];
  /** Everything that was not as it must be; memory is judged apart. */
  problems: string[];
};

export type LoadSettings = {
  seconds: number;
  connections: number;
  /** Of what the checker asks. */
  seed: number;
  /** False for the checker alone, on all connections. */
  oha: boolean;
  say(text: string): void;
};

/** Log lines of these levels say that something failed inside. */
const BAD_LEVELS = new Set(["warn", "error"]);
/** workerd's own remark, not the Worker's: other V8 flags than its compile cache was made with. */
const COMPILE_CACHE_REMARK = "NOSENTRY per-isolate bootstrap compile cache failed its compatibility check";
/** More say nothing new. */
const MAX_PROBLEMS = 1_000;

export async function runLoad({ seconds, connections, seed, oha, say }: LoadSettings): Promise<LoadResult> {
  const directory = mkdtempSync(join(tmpdir(), "stillstore-load-"));
  const remove = () => rmSync(directory, { recursive: true, force: true });
  process.on("exit", remove);
  const problems: string[] = [];
  const report = (problem: string) => {
    if (problems.length < MAX_PROBLEMS) problems.push(problem);
  };
  const onLog = ({ level, message }: LogLine) => {
    if (BAD_LEVELS.has(level) && !message.startsWith(COMPILE_CACHE_REMARK)) report(`Logged as ${level}: ${message}`);
  };

  say("storing images");
  const embedded = await stockEmbedded(directory);
  const over = new AbortController();
  // Behind the harness, since wasm memory cannot be had without; it adds a call and no work to a request.
  const worker = await startWorker({ persist: directory, inspector: true, onLog });
  try {
    const inBucket = await stock(worker, "r2");
    const stocked = [...inBucket, ...embedded];
    const checker = new Checker(worker, stocked, randomNumbers(seed), report);
    const asks = oha ? asksOf(worker.url, stocked) : [];
    const counts = connectionsOf(connections);

    const watch = await MemoryWatch.start(worker);
    const endMs = Date.now() + seconds * 1_000;
    const sayTime = () => say(`${Math.max(0, Math.round((endMs - Date.now()) / 1_000))} s left, ${problems.length} problems`);
    const clock = setInterval(sayTime, 1_000).unref();
    const checking = checker.run(oha ? counts.checker : connections, () => over.signal.aborted || Date.now() >= endMs);
    const outcomes = await Promise.all(asks.map((ask) => runOha(ask, counts[ask.name], seconds, directory, over.signal)));
    await checking;
    clearInterval(clock);
    const memory = await watch.stop();
    asks.forEach((ask, index) => problemsOf(ask, outcomes[index] ?? NOTHING).forEach(report));

    say("looking at what was stored");
    const expected = [...expectedOf(asks, outcomes), checker.expected];
    const stored = expected.reduce((sum, { images }) => sum + images, 0);
    const verified = await verify(worker, expected, { r2: inBucket.length + stored, d1: embedded.length });
    verified.problems.forEach(report);

    const clients = asks.map((ask, index) => ({ title: ask.title, connections: counts[ask.name], ...(outcomes[index] ?? NOTHING) }));
    const { compared, comparedBytes, uploaded, deleted } = checker.checked;
    return {
      seconds,
      connections,
      seed,
      clients: [...clients, checkerRow(checker.checked, oha ? counts.checker : connections)],
      checked: { compared, comparedBytes, uploaded, deleted },
      verified,
      memory,
      problems,
    };
  } finally {
    over.abort();
    await worker.stop();
    process.off("exit", remove);
    remove();
  }
}

const NOTHING: Outcome = { requests: 0, statuses: {}, errors: {}, answeredBytes: 0, p50Ms: null, p99Ms: null, maxMs: null };

/** One image for each request that was answered as it must be. */
function expectedOf(asks: Ask[], outcomes: Outcome[]): Expected[] {
  return asks.flatMap(({ title, personaId, status, body }, index) => {
    if (personaId === undefined) return [];
    const images = outcomes[index]?.statuses[status] ?? 0;
    return [{ title, personaId, images, ...(body instanceof Uint8Array ? { sha256: sha256(body) } : {}) }];
  });
}

function checkerRow({ requests, statuses, answeredBytes, latenciesMs }: Checked, connections: number): ClientRow {
  const of = (share: number) => (latenciesMs.length === 0 ? null : quantile(latenciesMs, share));
  const latencies = { p50Ms: of(0.5), p99Ms: of(0.99), maxMs: of(1) };
  return { title: "Everything, compared", connections, requests, statuses, errors: {}, answeredBytes, ...latencies };
}
