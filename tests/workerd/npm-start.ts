// `npm start` on a free port with a state of its own.
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";

import { freePort } from "./harness/free-port.ts";
import { projectDir } from "./harness/project.ts";

export type Started = {
  /** Without a slash at its end. */
  url: string;
  /** Where D1 and R2 are. */
  directory: string;
  npm: ChildProcess;
  /** What it wrote until it was ready. */
  output: string;
};

/** Waits until the Worker answers; stops it, and removes its state, after the test. */
export async function npmStart(t: TestContext, args: string[] = []): Promise<Started> {
  const directory = await mkdtemp(join(tmpdir(), "stillstore-start-"));
  t.after(() => rm(directory, { recursive: true }));
  const port = await freePort();
  const npm = spawn("npm", ["start", "--", "--port", `${port}`, "--persist-to", directory, ...args], { cwd: projectDir });
  const ended = once(npm, "exit");
  t.after(async () => {
    npm.kill();
    await ended;
  });
  const output = await readUntil(npm.stdout, /Ready on http/);
  return { url: `http://localhost:${port}`, directory, npm, output };
}

/** The output up to the text awaited; what there is when the output ends without it. */
async function readUntil(stream: NodeJS.ReadableStream, awaited: RegExp): Promise<string> {
  let output = "";
  return new Promise((resolve) => {
    stream.on("data", (chunk) => {
      output += chunk;
      if (awaited.test(output)) resolve(output);
    });
    stream.on("end", () => resolve(output));
  });
}
