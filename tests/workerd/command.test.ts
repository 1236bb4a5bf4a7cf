// What all commands have in common.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";

import { projectDir } from "./harness/project.ts";

test("a command whose output nobody reads any more ends without a stack trace", () => {
  // `true` has ended before the command begins.
  const script = '{ sleep 0.2; "$0" scripts/migrate.mjs --help; echo "status $?" >&2; } | true';
  const { stderr } = spawnSync("sh", ["-c", script, process.execPath], { cwd: projectDir, encoding: "utf8" });
  assert.equal(stderr, "status 141\n");
});
