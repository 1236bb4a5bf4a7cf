// `npm run deploy` with the real wrangler, whose words it reads: against a stub of Cloudflare's API.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";

import { withDatabaseId } from "../../scripts/deploy/toml.mjs";
import { node22, toolEnvironment, wranglerScript } from "../../scripts/toolchain.mjs";
import { CloudflareStub } from "./harness/cloudflare-stub.ts";
import { projectDir, readMigrations } from "./harness/project.ts";

const run = promisify(execFile);
const CONFIG = readFileSync(join(projectDir, "wrangler.toml"), "utf8");
const CORS = JSON.parse(readFileSync(join(projectDir, "cors-policy.json"), "utf8")).rules;

describe("npm run deploy with the real wrangler", () => {
  let directory: string;
  let stub: CloudflareStub;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "stillstore-wrangler-"));
    stub = await CloudflareStub.start();
    // The bindings of the project around a Worker that needs no build.
    const config = CONFIG.replace(/\[build\]\ncommand = .*\n/, "")
      .replace('directory = "console/site"', `directory = ${JSON.stringify(join(projectDir, "console/site"))}`)
      .replace('main = "build/index.js"', 'main = "worker.js"')
      .replace('migrations_dir = "migrations"', `migrations_dir = ${JSON.stringify(join(projectDir, "migrations"))}`);
    writeFileSync(join(directory, "wrangler.toml"), config);
    writeFileSync(join(directory, "worker.js"), "export default { fetch() {}, queue() {}, scheduled() {} };");
  });
  after(async () => {
    stub.stop();
    await rm(directory, { recursive: true });
  });
  const deploy = async () => {
    const command = [join(projectDir, "scripts", "deploy.mjs"), "--config", join(directory, "wrangler.toml")];
    const env = { ...process.env, ...stub.environment, XDG_CONFIG_HOME: directory, CLOUDFLARE_ACCOUNT_ID: undefined };
    const { stdout } = await run(process.execPath, command, { env });
    assert.deepEqual(stub.unknown, []);
    return stdout;
  };

  test("makes everything on an empty account", async () => {
    const stdout = await deploy();
    assert.deepEqual(stub.made, [
      "bucket stillstore-images",
      "cors stillstore-images",
      "queue stillstore-migrations",
      "queue stillstore-dead-letters",
      "database stillstore",
      "secret API_TOKEN",
    ]);
    assert.deepEqual(stub.buckets.get("stillstore-images"), { rules: CORS });
    const [database] = stub.databases;
    assert.ok(readFileSync(join(directory, "wrangler.toml"), "utf8").includes(`database_id = "${database?.uuid}" #`));
    for (const { sql } of readMigrations("migrations")) {
      assert.ok(stub.queries.some((query) => query.uuid === database?.uuid && query.sql.includes(sql)), sql);
    }
    const token = stub.workers.get("stillstore")?.get("API_TOKEN");
    assert.match(token ?? "", /^[0-9a-f]{64}$/);
    assert.ok(stdout.includes(`API_TOKEN = ${token}`), stdout);
    assert.equal(stub.uploads.at(-1), "stillstore");
    assert.deepEqual(stub.assets.sort(), ["/console.html", "/console/icon.svg", "/console/main.css", "/console/main.js"]);
  });

  test("makes nothing on an account that has everything, and deploys", async () => {
    stub.made.length = 0;
    stub.uploads.length = 0;
    await deploy();
    assert.deepEqual({ made: stub.made, uploads: stub.uploads }, { made: [], uploads: ["stillstore"] });
  });
});

test("npm start finds its local database after an id was recorded", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "stillstore-local-"));
  t.after(() => rm(directory, { recursive: true }));
  const query = async (config: string, sql: string) => {
    writeFileSync(join(directory, "wrangler.toml"), config);
    const args = ["d1", "execute", "DB", "--local", "--json", "--cwd", directory, "--command", sql];
    const { stdout } = await run(node22, [wranglerScript, ...args], { env: toolEnvironment() });
    return JSON.parse(stdout)[0].results;
  };
  const recorded = (config: string) => withDatabaseId(config, undefined, "DB", "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee") ?? "";

  assert.match(CONFIG, /^preview_database_id = /m);
  const unnamed = CONFIG.replace(/^preview_database_id.*\n/m, "");
  await query(unnamed, "CREATE TABLE kept AS SELECT 'an image' AS what");
  assert.deepEqual(await query(recorded(unnamed), "SELECT what FROM kept"), [{ what: "an image" }]);
});
