// Everything `npm test` proves: the crate on this machine, and the built Worker in workerd.
//   npm test -- --native [cargo test arguments]        npm test -- --native store::
//   npm test -- --workerd [node --test arguments]      npm test -- --workerd tests/workerd/deploy.test.ts
import { setupBrowser } from "./browser.mjs";
import { VARIANTS, build, compile } from "./build.mjs";
import { Failure, run, runGroup, runIfProgram } from "./command.mjs";
import { setup } from "./setup.mjs";
import { node22, projectDir, toolEnvironment } from "./toolchain.mjs";

/** The project's own limit, half of what Cloudflare accepts on the free plan: every cold start loads and compiles the bundle. */
const MAX_GZIP_KB = 1_500;
const TEST_FILES = "tests/workerd/**/*.test.ts";
/** Ends a test file that hangs; far more than one takes on a slow and busy machine. */
const TEST_TIMEOUT_MS = 600_000;

/** @type {Record<string, (args: string[]) => Promise<number>>} */
const PARTS = { "--native": testNative, "--workerd": testInWorkerd };

/** @param {string[]} args */
function testNative(args) {
  return run("cargo", ["test", "--locked", "--workspace", ...args], { cwd: projectDir, env: toolEnvironment() });
}

/** @param {string[]} args */
async function testInWorkerd(args) {
  await setupBrowser();
  await build(VARIANTS.release, { maxGzipKb: MAX_GZIP_KB });
  await build(VARIANTS.conformance);
  const files = args.some((arg) => arg.endsWith(".test.ts")) ? [] : [TEST_FILES];
  const options = [
    "--disable-warning=ExperimentalWarning",
    "--test",
    "--test-concurrency=2",
    "--test-reporter=spec",
    "--test-force-exit",
    `--test-timeout=${TEST_TIMEOUT_MS}`,
  ];
  // In a process group of its own, so that no workerd outlives a test that crashed.
  const { code, stopped } = await runGroup(node22, [...options, ...args, ...files], {
    cwd: projectDir,
    env: toolEnvironment(),
  });
  return stopped ? 1 : code;
}

await runIfProgram(import.meta.url, async ([choice, ...args]) => {
  const parts = choice === undefined ? Object.keys(PARTS) : [choice];
  await setup(() => compile(VARIANTS.release));
  /** @type {string[]} */
  const failed = [];
  for (const part of parts) {
    const test = PARTS[part];
    if (test === undefined) throw new Failure(`Unknown argument ${part}: give ${Object.keys(PARTS).join(" or ")}.`);
    if ((await test(args)) !== 0) failed.push(part);
  }
  if (failed.length > 0) throw new Failure(`Failed: npm test -- ${failed.join(", npm test -- ")}`);
});
