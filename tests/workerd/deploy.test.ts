// The configuration that is deployed, as wrangler sees it.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

import { projectDir, readWranglerConfig } from "./harness/project.ts";

const OPEN_FOR_LOCAL_WORK = "ALLOW_UNAUTHENTICATED";

const deploy = join(projectDir, "scripts", "deploy.mjs");
// Nobody is logged in where wrangler keeps its logins.
const nowhere = join(tmpdir(), "stillstore-no-login");
const { stdout } = await promisify(execFile)(process.execPath, [deploy, "--dry-run"], {
  env: { ...process.env, CLOUDFLARE_API_TOKEN: undefined, CLOUDFLARE_ACCOUNT_ID: undefined, XDG_CONFIG_HOME: nowhere },
});

test("a dry run needs no account and lists every binding and var of wrangler.toml", () => {
  const { vars = {}, d1_databases = [], r2_buckets = [], queues = {} } = readWranglerConfig();
  const names = [...Object.keys(vars), ...[...d1_databases, ...r2_buckets, ...(queues.producers ?? [])].map(({ binding }) => binding)];
  assert.ok(names.length >= 4, `only ${names}`);
  for (const name of names) assert.match(stdout, new RegExp(`\\benv\\.${name} `));
  assert.match(stdout, /--dry-run: exiting now/);
});

test("nothing deployed opens the routes that want a token", () => {
  const configured = JSON.stringify(readWranglerConfig());
  assert.ok(!configured.includes(OPEN_FOR_LOCAL_WORK), "wrangler.toml names it");
  assert.ok(!stdout.includes(OPEN_FOR_LOCAL_WORK), "the dry run names it");
});

test("no preview has a cache that a deletion does not reach", () => {
  assert.equal(readWranglerConfig().preview_urls, false);
});

test("no secret is deployed as a var", () => {
  const secrets = Object.keys(readWranglerConfig().vars ?? {}).filter((name) => /TOKEN|KEY|SECRET/.test(name));
  assert.deepEqual(secrets, []);
});

test("the platform's logs do not hold query strings, which open private images", () => {
  assert.deepEqual({ ...readWranglerConfig().observability }, { enabled: true, redact_query_string: true });
});
