// Which build tools are used: those that were compiled before, else those of the right version that are there already.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { test } from "node:test";

import { projectDir } from "./harness/project.ts";

const LOCKED = /^name = "worker"\nversion = "(.+)"$/m.exec(readFileSync(join(projectDir, "Cargo.lock"), "utf8"))?.[1] ?? "";

test("a tool of the right version on the PATH is used, unless one was compiled", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "stillstore-tools-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const cache = join(directory, "cache");
  const onPath = join(directory, "bin", "worker-build");
  const compiled = join(cache, "stillstore", "tools", `worker-build-${LOCKED}`, "bin", "worker-build");
  const used = () =>
    execFileSync(process.execPath, ["-p", `require("./scripts/toolchain.mjs").workerBuild.program`], {
      cwd: projectDir,
      encoding: "utf8",
      env: { ...process.env, XDG_CACHE_HOME: cache, PATH: [join(directory, "bin"), process.env.PATH].join(delimiter) },
    }).trim();

  writeProgram(onPath, `#!/bin/sh\necho 0.0.1\n`);
  assert.equal(used(), compiled, "another version");
  writeProgram(onPath, `#!/bin/sh\necho ${LOCKED}\n`);
  assert.equal(used(), onPath);
  writeProgram(compiled, "");
  assert.equal(used(), compiled);
});

function writeProgram(file: string, text: string): void {
  mkdirSync(join(file, ".."), { recursive: true });
  writeFileSync(file, text);
  chmodSync(file, 0o755);
}
