// `npm run deploy` as a person runs it, against a stand-in for wrangler that keeps an account in a file.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { TestContext } from "node:test";
import { parse } from "smol-toml";

import { withDatabaseId } from "../../scripts/deploy/toml.mjs";
import { projectDir } from "./harness/project.ts";
import type { WranglerConfig } from "./harness/project.ts";
import { EMPTY_ACCOUNT } from "./harness/wrangler-stand-in.mjs";
import type { Account, Failure } from "./harness/wrangler-stand-in.mjs";

const SCRIPT = join(projectDir, "scripts", "deploy.mjs");
const STAND_IN = join(projectDir, "tests", "workerd", "harness", "wrangler-stand-in.mjs");
const CONFIG = readFileSync(join(projectDir, "wrangler.toml"), "utf8");
const CORS = JSON.parse(readFileSync(join(projectDir, "cors-policy.json"), "utf8")).rules;
const PLACEHOLDER = "00000000-0000-0000-0000-000000000000";
const TOKEN = /\b[0-9a-f]{64}\b/g;

/** The calls that make something, in their order. */
const MAKING = [
  "r2 bucket create",
  "r2 bucket cors set",
  "queues create",
  "queues create",
  "d1 create",
  "d1 migrations apply",
  "secret put",
  "deploy",
];

type Run = { code: number | null; stdout: string; stderr: string };

/** An account, a wrangler.toml, and the command. */
class Desk {
  private readonly accountPath: string;
  readonly configPath: string;

  private constructor(directory: string) {
    this.accountPath = join(directory, "account.json");
    this.configPath = join(directory, "wrangler.toml");
  }

  static async set(t: TestContext, account: Partial<Account> = {}, config = CONFIG): Promise<Desk> {
    const directory = await mkdtemp(join(tmpdir(), "stillstore-deploy-"));
    t.after(() => rm(directory, { recursive: true }));
    const desk = new Desk(directory);
    desk.account = { ...EMPTY_ACCOUNT, ...account };
    writeFileSync(desk.configPath, config);
    return desk;
  }

  get account(): Account {
    return JSON.parse(readFileSync(this.accountPath, "utf8"));
  }
  set account(account: Account) {
    writeFileSync(this.accountPath, JSON.stringify(account));
  }
  get config(): string {
    return readFileSync(this.configPath, "utf8");
  }
  /** The commands so far that may have changed something. */
  get changes(): string[] {
    return this.account.calls.flatMap(({ changes, command }) => (changes ? [command] : []));
  }
  forgetCalls(): void {
    this.account = { ...this.account, calls: [] };
  }

  async deploy(...args: string[]): Promise<Run> {
    const env = { ...process.env, CLOUDFLARE_ACCOUNT_ID: undefined, CLOUDFLARE_ENV: undefined, STILLSTORE_WRANGLER: STAND_IN, STAND_IN_ACCOUNT: this.accountPath };
    const child = spawn(process.execPath, [SCRIPT, "--config", this.configPath, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
    const run: Run = { code: null, stdout: "", stderr: "" };
    child.stdout.on("data", (text) => (run.stdout += text));
    child.stderr.on("data", (text) => (run.stderr += text));
    [run.code] = await once(child, "close");
    return run;
  }
}

function databaseOf(config: string, environment?: string) {
  const whole = parse(config) as unknown as WranglerConfig & { env?: Record<string, WranglerConfig> };
  return (environment === undefined ? whole : whole.env?.[environment])?.d1_databases?.[0];
}

/** What an account has at the end of a deploy. */
function assertComplete(account: Account): void {
  const { buckets, queues, databases, workers } = account;
  assert.deepEqual(buckets, { "stillstore-images": { cors: CORS } });
  assert.deepEqual(queues, ["stillstore-migrations", "stillstore-dead-letters"]);
  assert.deepEqual(databases.map(({ name, migrations }) => [name, migrations]), [["stillstore", 5]]);
  assert.deepEqual(Object.keys(workers), ["stillstore"]);
  assert.match(workers.stillstore?.API_TOKEN ?? "", /^[0-9a-f]{64}$/);
}

describe("npm run deploy on an empty account", () => {
  test("makes everything in order, saying each step, and records the id beside the comments", async (t) => {
    const desk = await Desk.set(t);
    const { code, stdout, stderr } = await desk.deploy("--var", "ENABLE_R2_STORAGE:false");
    assert.equal(code, 0, stderr);
    assert.deepEqual(desk.changes, MAKING);
    assertComplete(desk.account);
    assert.equal(desk.account.deploys, 1);
    assert.deepEqual([...stdout.matchAll(/^Step (\d) of 9: (\w+)/gm)].map(([, step, verb]) => `${step} ${verb}`), [
      "1 create", "2 give", "3 create", "4 create", "5 create", "6 record", "7 apply", "8 generate", "9 deploy",
    ]);
    const uuid = desk.account.databases[0]?.uuid ?? "";
    assert.equal(desk.config, CONFIG.replace(PLACEHOLDER, uuid));
    const { args = [] } = desk.account.calls.at(-1) ?? {};
    assert.deepEqual(args, ["deploy", "--config", desk.configPath, "--var", "ENABLE_R2_STORAGE:false"]);
  });

  test("makes all of it in the account that it names, whatever wrangler remembers", async (t) => {
    const desk = await Desk.set(t);
    assert.match((await desk.deploy()).stdout, /^Account: Someone \(1\)$/m);
    assert.deepEqual(new Set(desk.account.calls.slice(1).map(({ accountId }) => accountId)), new Set(["1"]));
  });

  test("shows the token once, and gives it to wrangler by standard input alone", async (t) => {
    const desk = await Desk.set(t);
    const { stdout, stderr } = await desk.deploy();
    const token = desk.account.workers.stillstore?.API_TOKEN ?? "";
    assert.deepEqual((stdout + stderr).match(TOKEN), [token]);
    const { calls } = desk.account;
    assert.deepEqual(calls.filter(({ input }) => input.includes(token)).map(({ command }) => command), ["secret put"]);
    assert.ok(!calls.some(({ args }) => args.join(" ").includes(token)), "it is an argument");
    assert.ok(!desk.config.includes(token), "it is in wrangler.toml");

    const other = await Desk.set(t);
    await other.deploy();
    assert.notEqual(other.account.workers.stillstore?.API_TOKEN, token);
  });

  test("changes nothing under --dry-run, and lists what it would make", async (t) => {
    const desk = await Desk.set(t);
    const { code, stdout, stderr } = await desk.deploy("--dry-run");
    assert.equal(code, 0, stderr);
    assert.deepEqual(desk.changes, []);
    assert.equal(desk.config, CONFIG);
    assert.equal(desk.account.calls.at(-1)?.command, "deploy --dry-run");
    assert.deepEqual([...stdout.matchAll(/^- (.*)$/gm)].map(([, title]) => title?.replace(desk.configPath, "wrangler.toml")), [
      "create the R2 bucket stillstore-images",
      "give the bucket stillstore-images the CORS rules of cors-policy.json",
      "create the queue stillstore-migrations",
      "create the queue stillstore-dead-letters",
      "create the D1 database stillstore",
      "record the id of the database stillstore in wrangler.toml",
      "apply the migrations that the database stillstore lacks",
      "generate an API_TOKEN and set it as a secret",
      "deploy the Worker",
    ]);
  });
});

test("npm run deploy -- --help asks and makes nothing", async (t) => {
  const desk = await Desk.set(t);
  const { code, stdout } = await desk.deploy("--help");
  assert.equal(code, 0);
  assert.match(stdout, /--dry-run  [\s\S]*wrangler deploy \[path\]/);
  assert.deepEqual(desk.account.calls.map(({ command }) => command), ["deploy --help"]);
});

test("npm run deploy makes nothing that is there, and replaces no token", async (t) => {
  const desk = await Desk.set(t);
  await desk.deploy();
  const before = desk.account;
  const config = desk.config;
  desk.forgetCalls();
  const { code, stdout, stderr } = await desk.deploy();
  assert.equal(code, 0, stderr);
  assert.deepEqual(desk.changes, ["d1 migrations apply", "deploy"]);
  assert.deepEqual({ ...desk.account, calls: [], deploys: 1 }, { ...before, calls: [] });
  assert.equal(desk.config, config);
  assert.doesNotMatch(stdout + stderr, TOKEN);
  assert.match(stdout, /^There already: R2 bucket stillstore-images, its CORS rules, queue .*, D1 database .*, secret API_TOKEN\.$/m);
});

describe("npm run deploy goes on", () => {
  const titles: Record<string, string> = {
    "r2 bucket create": "create the R2 bucket stillstore-images",
    "r2 bucket cors set": "give the bucket stillstore-images the CORS rules of cors-policy.json",
    "queues create": "create the queue stillstore-migrations",
    "d1 create": "create the D1 database stillstore",
    "d1 list": "record the id of the database stillstore",
    "d1 migrations apply": "apply the migrations that the database stillstore lacks",
    "secret put": "generate an API_TOKEN and set it as a secret",
    deploy: "deploy the Worker",
  };
  for (const when of ["before", "after"] as const) {
    test(`where each step in turn failed ${when} it took effect, and makes nothing twice`, async (t) => {
      const desk = await Desk.set(t);
      for (const [command, title] of Object.entries(titles)) {
        await t.test(command, async () => {
          // The databases are listed to plan the steps, and again to record the id.
          desk.account = { ...desk.account, failure: { command, when, skip: command === "d1 list" ? 1 : 0 } };
          const { code, stdout, stderr } = await desk.deploy();
          assert.equal(code, 1);
          assert.match(stderr, new RegExp(`^Failed: ${title}.* the same command again goes on from there\\.$`, "m"));
          assert.match(stderr, /fetch failed/);
          assert.ok(stdout.trimEnd().split("\n").at(-1)?.includes(title), `the step was not said before: ${stdout}`);
        });
      }
      const { code, stderr } = await desk.deploy();
      assert.equal(code, 0, stderr);
      assertComplete(desk.account);
      assert.equal(databaseOf(desk.config)?.database_id, desk.account.databases[0]?.uuid);
      const made = desk.changes.filter((command) => !["d1 migrations apply", "deploy"].includes(command));
      const tries = MAKING.slice(0, 5).concat("secret put").flatMap((command, at) => (when === "after" || at === 3 ? [command] : [command, command]));
      assert.deepEqual(made, tries);
    });
  }

  for (const command of ["r2 bucket cors list", "queues info", "d1 list", "secret list"]) {
    test(`where the question \`${command}\` failed, before anything was made`, async (t) => {
      const desk = await Desk.set(t, { failure: { command, when: "before" } });
      const failed = await desk.deploy();
      assert.equal(failed.code, 1);
      assert.match(failed.stderr, /fetch failed/);
      assert.deepEqual(desk.changes, []);
    });
  }

  test("with a secret that nobody saw by saying how to set one that is known", async (t) => {
    const desk = await Desk.set(t, { failure: { command: "secret put", when: "after" } });
    const { stderr, stdout } = await desk.deploy();
    assert.match(stderr, /npx wrangler secret put API_TOKEN --config \S+ sets one that you know/);
    assert.doesNotMatch(stdout + stderr, TOKEN);
  });
});

describe("npm run deploy says what to do", () => {
  test("when nobody is logged in, before it does anything", async (t) => {
    const desk = await Desk.set(t, { loggedIn: false });
    const { code, stderr } = await desk.deploy();
    assert.equal(code, 1);
    assert.match(stderr, /`npx wrangler login`, or set CLOUDFLARE_API_TOKEN/);
    assert.deepEqual(desk.account.calls.map(({ command }) => command), ["whoami"]);
  });

  test("when nobody is logged in, and shows what would be deployed under --dry-run", async (t) => {
    const desk = await Desk.set(t, { loggedIn: false });
    const { code, stdout } = await desk.deploy("--dry-run");
    assert.equal(code, 0);
    assert.match(stdout, /not known, since nobody is logged in.*`npx wrangler login`/);
    assert.deepEqual(desk.account.calls.map(({ command }) => command), ["whoami", "deploy --dry-run"]);
  });

  test("when a question fails, and shows what would be deployed under --dry-run", async (t) => {
    const desk = await Desk.set(t, { failure: { command: "queues info", when: "before" } });
    const { code, stdout } = await desk.deploy("--dry-run");
    assert.equal(code, 0);
    assert.match(stdout, /^What the account lacks is not known:[\s\S]*fetch failed/m);
    assert.equal(desk.account.calls.at(-1)?.command, "deploy --dry-run");
  });

  const refusals: Record<string, [Failure, RegExp]> = {
    "several accounts": [
      { command: "r2 bucket cors list", when: "before", message: "More than one\n  account available but unable to select one" },
      /Set CLOUDFLARE_ACCOUNT_ID/,
    ],
    "a missing permission": [
      { command: "queues info", when: "before", message: "A request failed.\n\n  Authentication error [code: 10000]" },
      /It needs Edit on Workers Scripts, Workers R2 Storage, D1 and Queues/,
    ],
    "no R2 subscription": [
      { command: "r2 bucket cors list", when: "before", message: "Please enable R2 through the Cloudflare\n  Dashboard. [code: 10042]" },
      /no R2 subscription\. Add one .* https:\/\/dash\.cloudflare\.com\//,
    ],
    "a bucket name that is taken": [
      { command: "r2 bucket create", when: "before", message: "The bucket already exists, and you own it. [code: 10004]" },
      /Choose another bucket_name in wrangler\.toml/,
    ],
    "no Queues on the account": [
      { command: "queues create", when: "before", message: "Queues are unavailable on the free plan. [code: 100129]" },
      /Enable Queues at .*, or remove the \[\[queues\.\.\.\]\] tables/,
    ],
  };
  for (const [name, [failure, advice]] of Object.entries(refusals)) {
    test(`about ${name}, below what wrangler says`, async (t) => {
      const desk = await Desk.set(t, { failure });
      const { code, stderr } = await desk.deploy();
      assert.equal(code, 1);
      assert.ok(stderr.includes(failure.message ?? ""), stderr);
      assert.match(stderr, advice);
    });
  }

  test("about a recorded database that the account does not have, and makes nothing", async (t) => {
    const desk = await Desk.set(t, {}, CONFIG.replace(PLACEHOLDER, "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"));
    const { code, stderr } = await desk.deploy();
    assert.equal(code, 1);
    assert.match(stderr, /aaaaaaaa-\S+, which this account does not have\. Set CLOUDFLARE_ACCOUNT_ID/);
    assert.deepEqual(desk.changes, []);
  });

  test("about an entry that it cannot edit, and takes the id that was written by hand", async (t) => {
    const table = /\[\[d1_databases\]\][\s\S]*?\n\n/;
    const inline = `d1_databases = [{ binding = "DB", database_name = "stillstore", database_id = "" }]\n`;
    const desk = await Desk.set(t, {}, inline + CONFIG.replace(table, ""));
    const { code, stderr } = await desk.deploy();
    assert.equal(code, 1);
    const line = `database_id = "${desk.account.databases[0]?.uuid}"`;
    assert.ok(stderr.includes(`Write ${line} into it.`), stderr);
    writeFileSync(desk.configPath, desk.config.replace('database_id = ""', line));
    assert.equal((await desk.deploy()).code, 0);
    assert.equal(desk.account.databases.length, 1);
  });

  test("about an entry whose lines are not where they seem to be", () => {
    const text = ["note = \"\"\"", "[[d1_databases]]", "\"\"\"", "[[d1_databases]]", 'binding = "DB"', 'database_id = ""', ""];
    assert.equal(withDatabaseId(text.slice(3).join("\n"), undefined, "DB", "1")?.split("\n")[2], 'database_id = "1"');
    assert.equal(withDatabaseId(text.join("\n"), undefined, "DB", "1"), undefined);
  });

  test("about an environment that is not there", async (t) => {
    const desk = await Desk.set(t);
    const { code, stderr } = await desk.deploy("--env", "nowhere");
    assert.equal(code, 1);
    assert.match(stderr, /has no section \[env\.nowhere\]/);
    assert.deepEqual(desk.account.calls, []);
  });
});

describe("npm run deploy makes what wrangler.toml names", () => {
  const STAGING = `
[env.staging] # a second Worker
[[env.staging.d1_databases]]
binding = "DB" # its catalogue
database_name = "staging"

[[env.staging.r2_buckets]]
binding = "R2_IMAGES"
bucket_name = "staging-images"
jurisdiction = "eu"

[[env.staging.r2_buckets]]
binding = "OTHERS"
bucket_name = "staging-others"

[env.staging.queues]
producers = [{ binding = "MIGRATIONS", queue = "staging-migrations" }]
consumers = [{ queue = "staging-migrations", dead_letter_queue = "staging-dead" }]
`;

  test("in an environment, with a dead letter queue, and tells every call which one", async (t) => {
    const desk = await Desk.set(t, {}, CONFIG + STAGING);
    const { code, stderr } = await desk.deploy("-e", "staging");
    assert.equal(code, 0, stderr);
    const { buckets, queues, databases, workers, calls } = desk.account;
    assert.deepEqual(buckets, { "staging-images": { cors: CORS }, "staging-others": {} });
    assert.deepEqual(queues, ["staging-migrations", "staging-dead"]);
    assert.deepEqual(databases.map(({ name, migrations }) => [name, migrations]), [["staging", 5]]);
    assert.deepEqual(Object.keys(workers), ["stillstore-staging"]);
    for (const { args } of calls) {
      assert.match(args.join(" "), /(-e|--env) staging/);
      assert.match(args.join(" "), /--config \S+wrangler\.toml/);
    }
    const inJurisdiction = calls.filter(({ args }) => args.join(" ").includes("--jurisdiction eu"));
    assert.deepEqual(inJurisdiction.map(({ args }) => args[3]), ["list", "staging-images", "set"]);
  });

  test("and records an id where there was none, with the name that the local database has had", async (t) => {
    const desk = await Desk.set(t, {}, CONFIG + STAGING);
    await desk.deploy("--env=staging");
    const id = desk.account.databases[0]?.uuid ?? "";
    const lines = `[[env.staging.d1_databases]]\ndatabase_id = "${id}"\npreview_database_id = "DB"\n`;
    assert.equal(desk.config, CONFIG + STAGING.replace("[[env.staging.d1_databases]]\n", lines));
    assert.equal(databaseOf(desk.config)?.database_id, PLACEHOLDER);
  });

  test("in a file with the line ends of Windows", async (t) => {
    const desk = await Desk.set(t, {}, CONFIG.replaceAll("\n", "\r\n"));
    assert.equal((await desk.deploy()).code, 0);
    const uuid = desk.account.databases[0]?.uuid ?? "";
    assert.equal(desk.config, CONFIG.replaceAll("\n", "\r\n").replace(PLACEHOLDER, uuid));
  });

  test("for the Worker that --name names, as wrangler deploy understands it", async (t) => {
    const desk = await Desk.set(t, {}, CONFIG + STAGING);
    assert.equal((await desk.deploy("--env", "staging", "--name", "other")).code, 0);
    assert.deepEqual(Object.keys(desk.account.workers), ["other"]);
  });

  test("and gives a bucket with other CORS rules those of cors-policy.json", async (t) => {
    const [rule] = CORS;
    const desk = await Desk.set(t, { buckets: { "stillstore-images": { cors: [{ ...rule, maxAgeSeconds: 5 }] } } });
    assert.equal((await desk.deploy()).code, 0);
    assert.ok(!desk.changes.includes("r2 bucket create"));
    assertComplete(desk.account);
  });

  test("but no database that has the name already, whose id it records", async (t) => {
    const uuid = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";
    const desk = await Desk.set(t, { databases: [{ name: "stillstore", uuid, migrations: 2 }] });
    assert.equal((await desk.deploy()).code, 0);
    assert.ok(!desk.changes.includes("d1 create"));
    assertComplete(desk.account);
    assert.equal(databaseOf(desk.config)?.database_id, uuid);
  });
});
