// Every call that a flow makes to R2 and D1 fails, before it happens and after; then the sweep runs.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { generate, pngOf, remove, serve, upload } from "./flows.ts";
import type { Answer } from "./flows.ts";
import type { Call, Fault } from "./harness/fault-plan.ts";
import { startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";
import { assertInvariants, assertSwept, clean, letTimePassAndSweep, objectKeys, sha256 } from "./invariants.ts";

const SMALL = pngOf(10_000, 1);
/** Embedded in five chunks, which take two calls to write and five to read. */
const LARGE = pngOf(4_300_000, 2);
const SHAPES = ["before", "after"] as const;

type Flow = {
  name: string;
  /** Stored before the flow begins, and what `run` gets the id of. */
  existing: Uint8Array<ArrayBuffer>;
  run(worker: RunningWorker, existing: string): Promise<Answer>;
  /** Further checks of the first answer, which may or may not be a success, and of the one without faults. */
  check?(worker: RunningWorker, first: Answer, again: Answer, existing: string): void | Promise<void>;
};

const flows: Flow[] = [
  {
    name: "generate",
    existing: SMALL,
    run: (worker) => generate(worker, "one-key"),
    check(_worker, first, again) {
      if (first.status !== 200) return;
      assert.equal(again.json().image.id, first.json().image.id, "one key, one image");
      assert.equal(again.headers.get("idempotency-replayed"), "true");
    },
  },
  { name: "upload", existing: SMALL, run: (worker) => upload(worker, pngOf(20_000, 3), "filename=new.png") },
  { name: "serve", existing: SMALL, run: serve, check: wholeOrBroken(SMALL) },
  {
    name: "delete",
    existing: SMALL,
    run: remove,
    async check(worker, first, _again, existing) {
      if (first.status === 204) assert.equal((await serve(worker, existing)).status, 410, "gone when the caller was told so");
    },
  },
];

/** Large images take more calls where they are embedded only. */
const largeFlows: Flow[] = [
  { name: "large upload", existing: SMALL, run: (worker) => upload(worker, LARGE) },
  { name: "large serve", existing: LARGE, run: serve, check: wholeOrBroken(LARGE) },
];

/** A body that ends early must not look like a whole one. */
function wholeOrBroken(bytes: Uint8Array) {
  return (_worker: RunningWorker, first: Answer) => {
    if (first.status === 200 && first.body !== undefined) assert.equal(sha256(first.body), sha256(bytes));
  };
}

for (const mode of ["R2", "embedded"] as const) {
  describe(`in ${mode} mode`, () => {
    let worker: RunningWorker;
    before(async () => {
      worker = await startWorker({ faults: true, vars: { ENABLE_R2_STORAGE: String(mode === "R2") } });
    });
    after(() => worker.stop());

    for (const flow of mode === "R2" ? flows : [...flows, ...largeFlows]) {
      test(`${flow.name} loses nothing and leaves nothing behind`, async (t) => {
        for (const { fault, name } of await faultsOf(worker, flow)) {
          await t.test(name, () => survives(worker, flow, fault));
        }
      });
    }

    test("the sweep finishes in its next run what a failure interrupted", async (t) => {
      await leaveWorkUnfinished(worker);
      const faults = await faultsDuring(worker, () => letTimePassAndSweep(worker));
      for (const { fault, name } of faults) {
        await t.test(name, async () => {
          await leaveWorkUnfinished(worker);
          await worker.faults.forgetCalls();
          await worker.faults.set(fault);
          await letTimePassAndSweep(worker);
          assert.ok((await worker.faults.calls({ outcome: "failed" })).length > 0, "the fault happened");
          await worker.faults.clear();
          await assertInvariants(worker);
          await letTimePassAndSweep(worker);
          await assertSwept(worker);
          await assertInvariants(worker);
        });
      }
    });
  });
}

/** One fault for each call that the flow makes, in each shape. */
async function faultsOf(worker: RunningWorker, flow: Flow): Promise<{ fault: Fault; name: string }[]> {
  const existing = await start(worker, flow);
  return faultsDuring(worker, async () => {
    const answer = await flow.run(worker, existing);
    assert.ok(answer.status < 300, `${flow.name} without faults: ${answer.status}`);
  });
}

async function faultsDuring(worker: RunningWorker, work: () => Promise<void>): Promise<{ fault: Fault; name: string }[]> {
  await worker.faults.forgetCalls();
  await work();
  const calls = await worker.faults.calls();
  assert.ok(calls.length > 0);
  return calls.flatMap((call, index) =>
    SHAPES.map((when) => {
      const nth = calls.slice(0, index + 1).filter(({ binding }) => binding === call.binding).length;
      const fault: Fault = { binding: call.binding, call: nth, when };
      return { fault, name: `call ${nth} of ${call.binding} (${describeCall(call)}) fails ${when} it took effect` };
    }),
  );
}

function describeCall({ method, subject, binding }: Call): string {
  return binding === "DB" ? `${method} ${subject.trim().split(/[\s(]+/).slice(0, 3).join(" ")}` : method;
}

async function start(worker: RunningWorker, flow: Flow): Promise<string> {
  await clean(worker);
  const stored = await upload(worker, flow.existing, "filename=old.png");
  assert.equal(stored.status, 201);
  return stored.json().id;
}

async function survives(worker: RunningWorker, flow: Flow, fault: Fault): Promise<void> {
  const existing = await start(worker, flow);
  await worker.faults.forgetCalls();
  await worker.faults.set(fault);
  const first = await flow.run(worker, existing);
  assert.ok((await worker.faults.calls({ outcome: "failed" })).length > 0, "the fault happened");
  await worker.faults.clear();
  if (first.status >= 300) assertUnavailable(first);
  await assertInvariants(worker);

  const again = await flow.run(worker, existing);
  assert.ok(again.status < 300, `the same request works once the failure is over: ${again.status}`);
  await flow.check?.(worker, first, again, existing);
  await assertInvariants(worker);

  await letTimePassAndSweep(worker);
  await assertSwept(worker);
  await assertInvariants(worker);
}

function assertUnavailable(answer: Answer): void {
  const problem = answer.json();
  assert.equal(answer.status, 503, problem.code);
  assert.equal(answer.headers.get("content-type"), "application/problem+json");
  assert.ok(["storage-unavailable", "database-unavailable"].includes(problem.code), problem.code);
  assert.match(answer.headers.get("retry-after") ?? "", /^\d+$/);
}

/** A stored image, one whose bytes are there and whose row was never committed, and one whose deletion stopped halfway. */
async function leaveWorkUnfinished(worker: RunningWorker): Promise<void> {
  await clean(worker);
  assert.equal((await upload(worker, SMALL)).status, 201);

  await worker.faults.set({ binding: "DB", matching: "'stored' END", when: "before", persistent: true });
  assertUnavailable(await upload(worker, pngOf(20_000, 5)));

  await worker.faults.clear();
  const { id } = (await upload(worker, pngOf(20_000, 6))).json();
  await worker.faults.set(
    { binding: "R2_IMAGES", method: "delete", when: "before" },
    { binding: "DB", matching: "DELETE FROM stillstore_blobs", when: "before" },
  );
  assertUnavailable(await remove(worker, id));
  await worker.faults.clear();
  const inBucket = (await objectKeys(worker)).length;
  const inDatabase = await worker.db.prepare("SELECT count(*) AS n FROM stillstore_blobs").first<number>("n");
  assert.equal(inBucket + (inDatabase ?? 0), 3, "three images' bytes are there");
}
