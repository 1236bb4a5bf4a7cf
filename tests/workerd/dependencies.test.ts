// What is installed is what was locked, on every platform.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { conclusion } from "../../scripts/check.mjs";
import { RUST_VERSION, rustVersion, toolEnvironment } from "../../scripts/toolchain.mjs";
import { projectDir } from "./harness/project.ts";

type Package = { version: string; integrity?: string; os?: string[]; hasInstallScript?: boolean };

const read = (file: string) => readFileSync(join(projectDir, file), "utf8");
const lock = JSON.parse(read("package-lock.json")) as { packages: Record<string, Package> };
const manifest = JSON.parse(read("package.json")) as Record<string, Record<string, string>>;
const packages = Object.entries(lock.packages).filter(([path]) => path !== "");

test("every npm package is locked with its digest, those of other platforms too", () => {
  assert.ok(packages.some(([, { os }]) => os?.includes("darwin")));
  const open = packages.filter(([, { integrity }]) => !/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity ?? ""));
  assert.deepEqual(open.map(([path]) => path), []);
});

test("every npm package that the project names is of one version", () => {
  for (const kind of ["devDependencies", "optionalDependencies"]) {
    for (const [name, version] of Object.entries(manifest[kind] ?? {})) {
      assert.equal(lock.packages[`node_modules/${name}`]?.version, version, name);
    }
  }
});

test("Node.js is in a locked package, not what a script fetches", () => {
  const scripts = packages.filter(([, { hasInstallScript }]) => hasInstallScript).map(([path]) => path.replace(/.*node_modules\//, ""));
  for (const name of scripts) assert.ok(manifest.allowScripts?.[name] || name === "fsevents", name);
  assert.equal(lock.packages["node_modules/node"], undefined);
});

test("every Python package is of one version and has digests", () => {
  const requirements = read("scripts/contract/requirements.txt").replace(/\\\n/g, " ").split("\n");
  const named = requirements.filter((line) => line !== "" && !line.startsWith("#"));
  assert.ok(named.length > 20);
  for (const line of named) assert.match(line, /^[\w.-]+==\S+(\s+--hash=sha256:[0-9a-f]{64})+$/);
  assert.match(read("scripts/contract/schemathesis.mjs"), /"--require-hashes"/);
});

test("advisories that cannot be fetched are said loudly", () => {
  assert.deepEqual(conclusion([], [], true), { words: "\nEvery check passed.", code: 0 });
  for (const [isRequired, code] of [[false, 0], [true, 1]] as const) {
    const concluded = conclusion([], ["advisories about crates"], isRequired);
    assert.equal(concluded.code, code);
    assert.match(concluded.words, /^!{100}\nNOT CHECKED.*: advisories about crates\.$/m);
  }
  assert.match(read(".github/workflows/check.yml"), /run: npm run check\n +env:\n +ADVISORIES: required/);
});

test("the tests that docs/security.md names are there", () => {
  const rows = [...read("docs/security.md").matchAll(/^\| .+ \| `([^`]+)` `([^`]+)` \|$/gm)];
  assert.ok(rows.length > 15);
  for (const [, file = "", name = ""] of rows) assert.ok(read(file).includes(name), `${file}: ${name}`);
});

test("Rust is of one version", () => {
  assert.equal(rustVersion(toolEnvironment().RUSTUP_TOOLCHAIN), RUST_VERSION);
});
