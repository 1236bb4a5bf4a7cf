// Bundles the console. It takes a tenth of a second, so that it is done each time.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

import { Failure, run } from "../command.mjs";
import { projectDir, toolEnvironment } from "../toolchain.mjs";

/** Everything that a browser loads before it shows the first picture. */
const MAX_GZIP_KB = 150;

const SITE = "console/site";
const LOADED = ["console.html", "console/main.js", "console/main.css"];

export async function buildConsole() {
  const { ESBUILD_BIN = "esbuild" } = toolEnvironment();
  const options = [
    "--bundle", "--minify", "--format=esm", "--target=es2022", "--jsx=automatic", "--jsx-import-source=preact", "--log-level=warning",
  ];
  const args = ["console/src/main.tsx", "console/src/main.css", ...options, `--outdir=${SITE}/console`];
  const code = await run(ESBUILD_BIN, args, { cwd: projectDir });
  if (code !== 0) throw new Failure(`The console was not built (exit code ${code}).`);
  const gzipKb = LOADED.reduce((sum, file) => sum + gzipSync(readFileSync(join(projectDir, SITE, file))).byteLength, 0) / 1_000;
  console.log(`${SITE}/: ${gzipKb.toFixed(1)} KB gzipped, limit ${MAX_GZIP_KB} KB`);
  if (gzipKb > MAX_GZIP_KB) throw new Failure(`The console is ${gzipKb.toFixed(1)} KB gzipped, over the limit of ${MAX_GZIP_KB} KB.`);
}
