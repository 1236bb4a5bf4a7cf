// `npm run migrate` as a person runs it, against a server that speaks as the Worker does.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { MigrationStub, runOf } from "./harness/migration-stub.ts";
import type { Step } from "./harness/migration-stub.ts";
import { parseOptions } from "../../scripts/migrate/options.mjs";
import { projectDir } from "./harness/project.ts";

const TOKEN = "a-token-that-nobody-may-see";
const SIGNAL_ARRIVES_MS = 200;
const SCRIPT = join(projectDir, "scripts", "migrate.mjs");

let stub: MigrationStub;
before(async () => {
  stub = await MigrationStub.start();
});
after(() => stub.stop());
beforeEach(() => {
  stub.requests.length = 0;
  stub.run = undefined;
  stub.steps = [];
  stub.troubles = [];
  stub.startAfter = undefined;
  stub.pauseAfter = undefined;
  stub.slices = [];
});

type Ended = { code: number | null; stdout: string; stderr: string };

class Command {
  stdout = "";
  stderr = "";
  readonly process: ChildProcess;
  readonly ended: Promise<Ended>;
  #waiting: (() => void)[] = [];

  constructor(args: string[], env: NodeJS.ProcessEnv = { STILLSTORE_TOKEN: TOKEN }) {
    this.process = spawn(process.execPath, [SCRIPT, ...args], { env: { PATH: process.env.PATH, ...env } });
    this.process.stdout?.on("data", (text) => {
      this.stdout += text;
      for (const wake of this.#waiting.splice(0)) wake();
    });
    this.process.stderr?.on("data", (text) => (this.stderr += text));
    this.ended = new Promise((resolve) =>
      this.process.on("close", (code) => resolve({ code, stdout: this.stdout, stderr: this.stderr })),
    );
  }

  async untilSaid(words: string): Promise<void> {
    while (!this.stdout.includes(words)) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

const migrate = (...args: string[]) => new Command([...args, "--url", stub.url]).ended;

const RECEIPT = { key: "receipts/run-1.ndjson", sha256: "ab12", bytes: 100, lines: 40 };

const half: Step = { progress: { total: 40, done: 20, succeeded: 20, bytes: 2_000_000 } };
const whole: Step = {
  state: "completed",
  progress: { total: 40, done: 40, succeeded: 40, bytes: 4_000_000 },
  result: {
    success: true,
    total: 40,
    migrated: 40,
    bytes: 4_000_000,
    duration: 61_000,
    operations: { r2ClassA: 40, r2ClassB: 0, d1RowsRead: 120, d1RowsWritten: 1_160 },
    estimatedCostUsd: 0.00018,
  },
  receipt: RECEIPT,
};

describe("a run", () => {
  test("is started in the background with what was asked, and followed to its end", async () => {
    stub.steps = [{ progress: { total: 40, done: 0 } }, half, whole];
    const options = ["--source", "images", "--ids", "a, b", "--batch-size", "20", "--concurrency", "8"];
    const { code, stdout, stderr } = await migrate("run", ...options);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
    assert.deepEqual(stub.actions, [
      { action: "migrate", background: true, source: "images", imageIds: ["a", "b"], batchSize: 20, concurrency: 8 },
    ]);
    for (const line of [
      "Run run-1",
      "0 of 40 (0 %)",
      "Moved 40 of 40 images, 4.0 MB in 1 min 1 s.",
      "Operations: R2 class A 40, class B 0; D1 rows read 120, written 1,160.",
      "Estimated cost: $0.00018.",
      `Receipt of every image: ${stub.url}/api/migrate-images/runs/run-1/receipt`,
      "  in R2: receipts/run-1.ndjson, sha256 ab12",
    ]) {
      assert.ok(stdout.split("\n").includes(line), `${line}\n in\n${stdout}`);
    }
    assert.ok(!stdout.includes("\x1b"), "nothing for terminals only");
    assert.equal(stub.requests.filter(({ path }) => path.endsWith("/runs/run-1")).length, 3);
  });

  test("carries the token in every request and nowhere else", async () => {
    stub.steps = [half, whole];
    stub.troubles = [{ status: 503 }, "broken"];
    const { code, stdout, stderr } = await migrate("run");
    assert.equal(code, 0);
    assert.ok(stub.requests.length >= 5);
    for (const { authorization } of stub.requests) assert.equal(authorization, `Bearer ${TOKEN}`);
    assert.ok(!`${stdout}${stderr}`.includes(TOKEN));
  });

  test("takes the token of the command line before that of the environment", async () => {
    stub.steps = [whole];
    await migrate("run", "--token", "given");
    assert.equal(stub.requests[0]?.authorization, "Bearer given");
  });

  test("that failed in part lists the first twenty failures and where the rest are", async () => {
    const errors = Array.from({ length: 25 }, (_, item) => ({ id: `image-${item}\x1b[2J`, reason: "not-an-image", detail: "empty" }));
    stub.steps = [
      {
        state: "completed_with_errors",
        progress: { total: 40, done: 40, succeeded: 15, failed: 25, skipped: 2 },
        result: { success: false, total: 40, migrated: 15, failed: 25, errors, warnings: ["R2 was slow"] },
        receipt: RECEIPT,
      },
    ];
    const { code, stdout } = await migrate("run");
    assert.equal(code, 1);
    assert.match(stdout, /^Moved 15 of 40 images, 0 bytes, 2 skipped\.$/m);
    assert.match(stdout, /^Warning: R2 was slow$/m);
    assert.match(stdout, /^25 failed, of which the first 20:$/m);
    assert.equal(stdout.match(/^ {2}image-\d+\?\[2J: not-an-image \(empty\)$/gm)?.length, 20);
    assert.match(stdout, /\/runs\/run-1\/receipt$/m);
  });

  for (const state of ["failed", "cancelled", "paused"]) {
    test(`that is ${state} by its end is no success`, async () => {
      stub.steps = [half, { state }];
      const { code, stdout } = await migrate("run");
      assert.equal(code, 1);
      assert.match(stdout, new RegExp(`^The run .*${state}`, "m"));
    });
  }
});

describe("each command", () => {
  const ends = (result: object, state = "completed", progress = {}) => {
    stub.steps = [{ state, result: result as Record<string, unknown>, progress }];
  };

  test("dry-run tells what would happen, and that nothing did", async () => {
    stub.steps = [{ ...whole, receipt: null }];
    const { code, stdout } = await migrate("dry-run");
    assert.equal(code, 0);
    assert.deepEqual(stub.actions, [{ action: "migrate", background: true, dryRun: true }]);
    assert.match(stdout, /^Would move 40 of 40 images, 4.0 MB\.\nNothing was changed\.\nOperations it would take: /m);
  });

  test("validate fails when something is not as it was", async () => {
    ends({ isValid: false, totalChecked: 9, valid: 7, invalid: 2, missing: ["lost"], corrupted: [{ id: "bad", detail: "size" }], orphaned: [] });
    const { code, stdout } = await migrate("validate", "--check-integrity", "--sample-size", "9");
    assert.equal(code, 1);
    assert.deepEqual(stub.actions, [{ action: "validate", background: true, checkIntegrity: true, sampleSize: 9 }]);
    assert.match(stdout, /^Not valid: 9 images checked, 7 valid, 2 invalid\.\n {2}1 missing, 1 corrupted, 0 orphaned$/m);
    assert.match(stdout, /^ {2}lost: missing\n {2}bad: corrupted \(size\)$/m);
  });

  test("validate is good when all is valid", async () => {
    ends({ isValid: true, totalChecked: 1, valid: 1, invalid: 0, missing: [], corrupted: [], orphaned: [] });
    const { code, stdout } = await migrate("validate");
    assert.equal(code, 0);
    assert.match(stdout, /^Valid: 1 image checked, 1 valid, 0 invalid\.$/m);
  });

  test("complete says whether the source can be switched off, and what needs it", async () => {
    const times = { listedFrom: "L1", listedUntil: "L2", verifiedFrom: "V1", verifiedUntil: "V2" };
    ends({ isComplete: true, open: [], left: 0, verified: 1, wrong: 0, lastReadThrough: null, errors: [], ...times });
    const good = await migrate("complete", "--quiet-hours", "48", "--check-integrity");
    assert.equal(good.code, 0);
    assert.deepEqual(stub.actions, [{ action: "complete", background: true, checkIntegrity: true, quietHours: 48 }]);
    assert.match(good.stdout, /^Complete: the source can be switched off\.\n {2}0 left at the source \(looked at from L1 until L2\)$/m);
    ends({ isComplete: false, open: ["left-at-source", "read-through"], left: 2, verified: 3, wrong: 0, lastReadThrough: "R", ...times });
    const bad = await migrate("complete");
    assert.equal(bad.code, 1);
    assert.match(bad.stdout, /^Not complete: not all of it is in R2, readers fetch from it\.\n {2}2 left .*\n {2}Copies: 3 right, 0 wrong \(.*V2\)\n {2}last read through at R$/m);
  });

  test("rollback keeps the copy unless told, and can be tried first", async () => {
    ends({ success: true, total: 3, rolledBack: 3, failed: 0, errors: [] });
    assert.match((await migrate("rollback", "--dry-run")).stdout, /^Would bring back 3 of 3 images\.$/m);
    const { code, stdout } = await migrate("rollback", "--delete-from-r2");
    assert.equal(code, 0);
    assert.match(stdout, /^Brought back 3 of 3 images\.$/m);
    assert.deepEqual(stub.actions, [
      { action: "rollback", background: true, dryRun: true },
      { action: "rollback", background: true, deleteFromR2: true },
    ]);
  });

  test("cleanup says what it freed, and repeats the run's id when forced", async () => {
    ends({ success: true, total: 3, cleaned: 2, kept: 1, failed: 0, errors: [], freedBytes: 3_500_000 });
    const { code, stdout } = await migrate("cleanup", "--force", "--run-id", "run-0");
    assert.equal(code, 0);
    assert.match(stdout, /^Dropped 2 of 3 images, kept 1; 3\.5 MB of database freed\.$/m);
    assert.deepEqual(stub.actions, [
      { action: "cleanup", background: true, force: true, runId: "run-0", confirmRunId: "run-0" },
    ]);
  });

  test("status tells where images are, and the latest run, once", async () => {
    assert.match((await migrate("status")).stdout, /^There was no run yet\.$/m);
    stub.requests.length = 0;
    stub.run = runOf({ progress: { total: 40, done: 10, succeeded: 9, failed: 1, skipped: 0, bytes: 0 } });
    const { code, stdout } = await migrate("status");
    assert.equal(code, 0);
    assert.match(stdout, /^1,234 images: 1,000 in R2, 234 in the database \(5\.6 MB\)\.$/m);
    assert.match(stdout, /^Sources: embedded, images\.$/m);
    assert.match(stdout, /^Run run-1: migrate of embedded, running\.\n10 of 40 \(25 %\), 1 failed$/m);
    assert.equal(stub.requests.length, 1);
  });

  test("status tells what the totals are made of, and what they miss", async () => {
    const of = (name: string, totalImages: number, migratedImages: number) => ({
      name,
      totalImages,
      migratedImages,
      base64Images: totalImages - migratedImages,
      estimatedSpaceSaved: 4_000,
    });
    stub.stats = {
      ...of("", 1_210, 1_003),
      failedImages: 2,
      migrationProgress: null,
      missingSources: ["photos", "shop"],
      sources: [
        { ...of("embedded", 10, 3), state: "current", countedAt: "2026-11-21T09:30:00.000Z" },
        { ...of("images", 1_200, 1_000), state: "kept", countedAt: "2026-11-21T09:30:00.000Z" },
        { name: "photos", state: "counting", totalImages: null, migratedImages: null, base64Images: null },
        { name: "shop", state: "unavailable", problem: { code: "database-unavailable", detail: "The database is unavailable" } },
      ],
    };
    const { stdout } = await migrate("status");
    for (const line of [
      "1,210 images: 1,003 in R2, 207 in the database (4.0 KB), 2 failed, without photos, shop.",
      "  embedded: 10 images: 3 in R2, 7 in the database (4.0 KB)",
      "  images: 1,200 images: 1,000 in R2, 200 in the database (4.0 KB), counted at 2026-11-21T09:30:00.000Z",
      "  photos: is being counted",
      "  shop: database-unavailable: The database is unavailable",
    ]) {
      assert.ok(stdout.split("\n").includes(line), `${line}\n in\n${stdout}`);
    }
    stub.stats = { ...of("", 13, 12), migrationProgress: 92.3, missingSources: [], sources: [{ ...of("embedded", 13, 12), state: "current" }] };
    assert.match((await migrate("status")).stdout, /^13 images: 12 in R2, 1 in the database \(4\.0 KB\), 92\.3 % migrated\.\nR2: /m);
  });

  test("status follows the run until it ends, when it is told to watch", async () => {
    stub.run = runOf({});
    stub.steps = [half, { state: "completed_with_errors", progress: { failed: 1 } }];
    assert.equal((await migrate("status", "--watch")).code, 1);
    assert.equal(stub.actions.length, 0);
  });

  test("status shows another run, or that of one source", async () => {
    stub.run = runOf({ id: "run-9" });
    assert.match((await migrate("status", "--run-id", "run-9")).stdout, /^Run run-9: /m);
    assert.match((await migrate("status", "--source", "images")).stdout, /^Run run-9: /m);
    assert.deepEqual(stub.actions, [{ action: "status", source: "images" }]);
    assert.equal((await migrate("status", "--run-id", "none")).code, 1);
  });
});

describe("a run that is there already", () => {
  test("is followed, not started again", async () => {
    stub.run = runOf({});
    stub.steps = [half, half, whole];
    const { code, stdout } = await migrate("run");
    assert.equal(code, 0);
    assert.match(stdout, /^Run run-1: migrate of embedded, running already: /m);
    assert.deepEqual(stub.actions.map(({ action }) => action), ["migrate"]);
  });

  test("goes on when it was paused", async () => {
    stub.run = runOf({ state: "paused" });
    stub.steps = [whole];
    assert.equal((await migrate("run")).code, 0);
    assert.deepEqual(stub.actions.slice(1), [{ action: "resume", runId: "run-1" }]);
  });

  test("of another kind is left alone", async () => {
    stub.run = runOf({ action: "rollback", state: "paused" });
    stub.steps = [whole];
    const { code, stderr } = await migrate("run");
    assert.equal(code, 1);
    assert.match(stderr, /^Run run-1: rollback of embedded, paused, is in the way\. Finish or cancel it first\.$/m);
    assert.equal(stub.run.state, "paused");
  });

  test("makes room when it ends in between", async () => {
    stub.run = runOf({});
    stub.steps = [whole];
    assert.equal((await migrate("run")).code, 0);
    assert.deepEqual(stub.actions.map(({ action }) => action), ["migrate", "migrate"]);
  });
});

describe("Ctrl-C", () => {
  const interrupted = async (...args: string[]) => {
    stub.steps = [half];
    const command = new Command(["run", "--url", stub.url, ...args]);
    await command.untilSaid("20 of 40");
    command.process.kill("SIGINT");
    return command.ended;
  };

  test("leaves the run going, and says so", async () => {
    const { code, stdout } = await interrupted();
    assert.equal(code, 130);
    assert.match(stdout, /^Run run-1 goes on in the Worker\. The command status --watch shows it\.$/m);
    assert.equal(stub.run?.state, "running");
  });

  test("pauses the run when it is told to, and the same command goes on", async () => {
    const { code, stdout } = await interrupted("--pause-on-interrupt");
    assert.equal(code, 130);
    assert.match(stdout, /^Run run-1 is paused\. /m);
    assert.equal(stub.run?.state, "paused");
    stub.steps = [whole];
    assert.equal((await migrate("run")).code, 0);
  });

  test("pauses the run although npm passes on the signal that the terminal has sent", async () => {
    stub.steps = [half];
    const command = new Command(["run", "--pause-on-interrupt", "--url", stub.url]);
    await command.untilSaid("20 of 40");
    let answer = () => {};
    stub.pauseAfter = new Promise<void>((resolve) => (answer = resolve));
    command.process.kill("SIGINT");
    await stub.requested(({ body }) => body?.action === "pause");
    command.process.kill("SIGINT");
    // Time for the signal to arrive first; without it the test might not see a command that ends at once.
    await Promise.race([command.ended, sleep(SIGNAL_ARRIVES_MS)]);
    answer();
    const { code, stdout } = await command.ended;
    assert.equal(code, 130);
    assert.match(stdout, /^Run run-1 is paused\. /m);
  });

  test("before the start is answered says that it is not known", async () => {
    stub.startAfter = new Promise(() => {});
    const command = new Command(["run", "--url", stub.url]);
    await stub.requested(({ method }) => method === "POST");
    command.process.kill("SIGINT");
    const { code, stdout } = await command.ended;
    assert.equal(code, 130);
    assert.match(stdout, /not known whether the run has started/);
  });

  test("before the start is answered waits for the run that is to be paused", async () => {
    let answer = () => {};
    stub.startAfter = new Promise<void>((resolve) => (answer = resolve));
    const command = new Command(["run", "--pause-on-interrupt", "--url", stub.url]);
    await stub.requested(({ method }) => method === "POST");
    command.process.kill("SIGINT");
    answer();
    assert.equal((await command.ended).code, 130);
    assert.equal(stub.run?.state, "paused");
  });
});

describe("a reconciliation", () => {
  const orphan = { key: "studio/2026/11/0a1b2c3d_a.png", bytes: 2_000, storedAt: "2026-11-21T09:30:00.000Z", outcome: "found", imageId: null, reason: null };
  const slice = { action: "report", objects: 1_000, rows: 900, foreignObjects: 2, foreignBytes: 70, orphans: [orphan], missing: [], cursor: "studio/x" };

  test("goes through every slice and makes one report", async () => {
    stub.slices = [slice, { ...slice, objects: 20, rows: 5, orphans: [], cursor: null }];
    stub.troubles = [{ status: 503, code: "storage-unavailable" }];
    const directory = await mkdtemp(join(tmpdir(), "stillstore-report-"));
    const file = join(directory, "report.json");
    const { code, stdout } = await migrate("reconcile", "--grace-hours", "48", "--report", file);
    assert.equal(code, 0, stdout);
    const cursors = [null, null, "studio/x"];
    assert.deepEqual(stub.actions, cursors.map((cursor) => ({ action: "report", graceHours: 48, cursor })));
    assert.match(stdout, /1,020 objects of the bucket and 905 rows looked at\./);
    assert.match(stdout, /1 object without a row, 2\.0 KB:\n {2}found: studio\/2026\/11\/0a1b2c3d_a\.png, 2\.0 KB\n0 rows without an object\./);
    assert.match(stdout, /Nothing was changed\. --adopt/);
    const report = { action: "report", objects: 1_020, rows: 905, foreignObjects: 4, foreignBytes: 140, orphans: [orphan], missing: [] };
    assert.deepEqual(JSON.parse(await readFile(file, "utf8")), report);
    await rm(directory, { recursive: true });
  });

  test("says by its exit code that something is missing, or was kept", async () => {
    const last = { ...slice, orphans: [], cursor: null };
    const kept = { ...orphan, outcome: "kept", reason: "not-an-image" };
    const missing = { id: "0f8fad5b-d9cb-469f-a165-70867728950e", key: "a/b.png", bytes: 7 };
    for (const [more, words, expected] of [
      [{}, /0 objects without a row/, 0],
      [{ orphans: [{ ...orphan, outcome: "removed" }] }, /removed: studio/, 0],
      [{ orphans: [kept] }, /kept \(not-an-image\): studio/, 1],
      [{ missing: [missing] }, /1 row without an object:\n {2}0f8fad5b/, 1],
    ] as const) {
      stub.slices = [{ ...last, ...more }];
      const { code, stdout } = await migrate("reconcile", "--remove");
      assert.deepEqual([code, words.test(stdout)], [expected, true], stdout);
    }
    assert.equal(stub.actions.at(-1).action, "remove");
  });
});

describe("what is wrong with the command line", () => {
  for (const [args, words] of [
    [[], /^A command is missing\./],
    [["move"], /^There is no command move: give status, dry-run, run, validate, rollback, complete, cleanup, reconcile\./],
    [["constructor"], /^There is no command constructor/],
    [["run", "status"], /^One command at a time/],
    [["run", "--nothing"], /--nothing/],
    [["run", "--delete-from-r2"], /^run takes no --delete-from-r2\./],
    [["status", "--ids", "a"], /^status takes no --ids\./],
    [["run", "--batch-size", "101"], /^--batch-size wants a whole number from 1 to 100\./],
    [["run", "--concurrency", "0"], /^--concurrency wants/],
    [["complete", "--ids", "a"], /^complete takes no --ids\./],
    [["validate", "--sample-size", "1.5"], /^--sample-size wants a whole number of 1 or more\./],
    [["reconcile", "--adopt", "--remove"], /^--adopt and --remove exclude each other\./],
    [["reconcile", "--grace-hours", "0"], /^--grace-hours wants a whole number from 1 to 8760\./],
    [["reconcile", "--source", "images"], /^reconcile takes no --source\./],
    [["run", "--ids", ","], /^--ids wants 1 to 1000 ids/],
    [["cleanup", "--force"], /^--force and --run-id go together/],
    [["run", "--token", `${TOKEN}\n`], /^The token holds characters/],
    [["run", "--url", "stillstore.example"], /^--url wants an address/],
    [["run", "--url", `https://user:${TOKEN}@stillstore.example`], /^--url must not carry/],
    [["run", "--url", "http://stillstore.example"], /^The token would go to http:\/\/stillstore\.example unencrypted: /],
    [["run", "--url", "http://127.evil.example:8787"], /^The token would go to http:\/\/127\.evil\.example:8787 unencrypted: /],
    [["run", "--url", "http://localhost.evil.example"], /^The token would go to /],
  ] as const) {
    test(`is said before anything is sent: ${args.join(" ").replace(TOKEN, "...").trim()}`, async () => {
      const url = args.some((arg: string) => arg === "--url") ? [] : ["--url", stub.url];
      const { code, stdout, stderr } = await new Command([...args, ...url]).ended;
      assert.deepEqual({ code, stdout }, { code: 2, stdout: "" });
      assert.match(stderr, words);
      assert.ok(!stderr.includes(TOKEN));
      assert.equal(stub.requests.length, 0);
    });
  }

  test("is not plain http to this machine, or to another when it is allowed", () => {
    const hosts = ["http://127.0.0.1:8787", "http://127.1", "http://localhost:8787", "http://[::1]:8787", "https://stillstore.example"];
    for (const url of hosts) parseOptions(["status", "--url", url], { STILLSTORE_TOKEN: TOKEN });
    parseOptions(["status", "--allow-http", "--url", "http://stillstore.example"], { STILLSTORE_TOKEN: TOKEN });
    assert.throws(() => parseOptions(["status", "--url", "http://127.evil.example"], {}), /unencrypted/);
  });

  test("includes a missing --url", async () => {
    const { code, stderr } = await new Command(["run"]).ended;
    assert.equal(code, 2);
    assert.match(stderr, /^--url is missing/);
  });

  test("is also what the Worker finds wrong", async () => {
    stub.troubles = [{ status: 400, code: "invalid-field", field: "source" }];
    const { code, stderr } = await migrate("run", "--source", "none");
    assert.equal(code, 2);
    assert.match(stderr, /^The Worker refused \(invalid-field\): Title of invalid-field\. field source\. detail of invalid-field/);
  });

  test("is told by --help", async () => {
    const { code, stdout } = await new Command(["--help"]).ended;
    assert.equal(code, 0);
    for (const command of ["status", "dry-run", "run", "validate", "rollback", "cleanup", "complete", "reconcile"]) {
      assert.match(stdout, new RegExp(`^ {2}${command} `, "m"));
    }
  });
});
