// Schemathesis, in a virtual environment of its own in the cache. Node 20 built-ins only.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { Failure, outputOf, runWithProgress } from "../command.mjs";
import { cacheDir } from "../toolchain.mjs";

const REQUIREMENTS = fileURLToPath(new URL("requirements.txt", import.meta.url));
/** What the pinned Schemathesis wants. */
const PYTHON = [3, 11];

/**
 * The program, installed when it is missing.
 * @returns {Promise<string>} its path
 * @throws {Failure} that says in one line what this machine lacks
 */
export async function schemathesis() {
  const requirements = readFileSync(REQUIREMENTS);
  const [, version] = /^schemathesis==(\S+)/m.exec(requirements.toString()) ?? [];
  const digest = createHash("sha256").update(requirements).digest("hex").slice(0, 8);
  const directory = join(cacheDir, "tools", `schemathesis-${version}-${digest}`);
  const program = join(directory, "bin", "schemathesis");
  const finished = join(directory, "installed");
  if (existsSync(finished) && outputOf(program, ["--version"]) !== undefined) return program;

  const isNewEnough = `import sys, venv; sys.exit(sys.version_info < (${PYTHON.join(", ")}))`;
  if (outputOf("python3", ["-c", isNewEnough]) === undefined) {
    throw new Failure(`Schemathesis needs python3 >= ${PYTHON.join(".")} with the module venv, which is not on the PATH.`);
  }
  rmSync(directory, { recursive: true, force: true });
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--retries", "1"];
  try {
    await runWithProgress("Making a Python environment", "python3", ["-m", "venv", directory]);
    const args = [...pip, "--only-binary", ":all:", "--no-deps", "--require-hashes", "--requirement", REQUIREMENTS];
    await runWithProgress(`Installing Schemathesis ${version}`, join(directory, "bin", "python"), args);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    const [cause] = error.message.split("\n").filter((line) => /error|failed/i.test(line)).slice(-2);
    throw new Failure(`Schemathesis ${version} could not be installed from PyPI: ${cause ?? error.message}`);
  }
  writeFileSync(finished, "");
  return program;
}
