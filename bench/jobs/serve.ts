// Serving 100 KB, out of R2 and out of the database: whole, a range, not modified; one client at a time and 32 at once.
import assert from "node:assert/strict";

import { Client } from "../../tests/workerd/client.ts";
import type { Case, Job, Scene, Target } from "../job.ts";
import type { RunningWorker } from "../../tests/workerd/harness/worker.ts";
import { randomImage } from "./images.ts";

const IMAGE_BYTES = 100_000;
/** Of one measurement: two dozen requests and more at one connection, and twice that at 32. */
const SECONDS = { 1: 0.05, 32: 0.1 };
const CONNECTIONS = [1, 32] as const;
const RANGE = { from: 20_000, to: 39_999 };

type Seed = { id: string; bytes: Uint8Array };

type Ask = {
  name: string;
  title: string;
  headers(scene: Scene<Seed>): Promise<Record<string, string>>;
  status: number;
  /** Which of the image's bytes the answer holds: from, to. */
  part: [number, number];
};

const ASKS = {
  whole: { name: "whole", title: "100 KB", headers: async () => ({}), status: 200, part: [0, IMAGE_BYTES] },
  range: {
    name: "range",
    title: "range of 20 KB",
    headers: async () => ({ range: `bytes=${RANGE.from}-${RANGE.to}` }),
    status: 206,
    part: [RANGE.from, RANGE.to + 1],
  },
  notModified: {
    name: "304",
    title: "304",
    headers: async (scene) => ({ "if-none-match": await validatorOf(scene) }),
    status: 304,
    part: [0, 0],
  },
} satisfies Record<string, Ask>;

/** Stillstore's own adapters without its handler have a route of their own. */
function pathOf({ contender, seed }: Scene<Seed>): string {
  return contender === "limit-rust" ? `conformance/limit/${seed.id}` : `images/${seed.id}`;
}

const validators = new WeakMap<RunningWorker, string>();

/** Asked for once, since asking is not what is measured. */
async function validatorOf(scene: Scene<Seed>): Promise<string> {
  const { worker } = scene;
  let validator = validators.get(worker);
  if (validator === undefined) {
    const answer = await worker.fetch(`/${pathOf(scene)}`);
    await answer.arrayBuffer();
    validator = answer.headers.get("etag") ?? "";
    validators.set(worker, validator);
  }
  return validator;
}

export function serve(quick: boolean): Job<Seed> {
  const cases = [ASKS.whole, ASKS.range, ASKS.notModified].flatMap((ask) =>
    CONNECTIONS.map((connections) => {
      const atLeast = ask === ASKS.notModified ? 0.75 : 0.9;
      return serveCase("R2", ask, connections, quick, [{ against: "limit", atLeast }]);
    }),
  );
  return { name: "serve", plant: plantWith("r2"), cases, variants: ["limit-rust", "promises-rust"] };
}

export function serveEmbedded(quick: boolean): Job<Seed> {
  const targets: Target[] = [{ against: "typescript", atLeast: 1.5 }];
  const cases = CONNECTIONS.map((connections) => serveCase("D1", ASKS.whole, connections, quick, targets));
  return { name: "embedded", plantVars: { ENABLE_R2_STORAGE: "false" }, plant: plantWith("d1"), cases, variants: ["limit-rust"] };
}

function plantWith(storage: string): Job<Seed>["plant"] {
  return async (worker) => {
    const bytes = randomImage(IMAGE_BYTES);
    const record = await new Client(worker).stored(bytes);
    assert.equal(record.storage, storage);
    return { id: record.id, bytes };
  };
}

function serveCase(home: string, ask: Ask, connections: 1 | 32, quick: boolean, targets: Target[]): Case<Seed> {
  const bytes = ask.part[1] - ask.part[0];
  return {
    name: `serve-${home.toLowerCase()}-${ask.name}-${connections}`,
    title: `Serve ${ask.title} from ${home}, ${connections} connection${connections === 1 ? "" : "s"}`,
    unit: "requests/s",
    targets,
    // Many and short: a machine that others share changes its speed within a second, and ratios scatter hardly more over a twentieth of one.
    rounds: Math.round((quick ? 2.5 : 13.5) / SECONDS[connections]),
    async measure(scene) {
      const { worker, load } = scene;
      const plan = { url: `${worker.url}${pathOf(scene)}`, headers: await ask.headers(scene), status: ask.status, bytes };
      const { requests, seconds } = await load.load({ ...plan, connections, seconds: SECONDS[connections] });
      return { units: requests, seconds };
    },
    async verify(scene) {
      const { worker, seed } = scene;
      const answer = await worker.fetch(`/${pathOf(scene)}`, { headers: await ask.headers(scene) });
      assert.equal(answer.status, ask.status);
      assert.deepEqual(new Uint8Array(await answer.arrayBuffer()), seed.bytes.slice(...ask.part));
    },
  };
}
