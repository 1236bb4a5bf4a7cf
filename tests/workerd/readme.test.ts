// What README.md tells people to type, typed: `npm start`, then each command of "Try it".
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

import { freePort } from "./harness/free-port.ts";
import { projectDir } from "./harness/project.ts";

const run = promisify(execFile);
const POLL_MS = 50;

describe("npm start and the commands of README.md", () => {
  let directory: string;
  let port: number;
  let server: ChildProcess;
  let output = "";
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "stillstore-readme-"));
    port = await freePort();
    const args = ["start", "--", "--port", String(port), "--persist-to", join(directory, "state")];
    server = spawn("npm", args, { cwd: projectDir, stdio: ["ignore", "pipe", "pipe"] });
    // A test run that is stopped stops what it started.
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      process.once(signal, () => {
        server.kill(signal);
        process.exit(1);
      });
    }
    for (const stream of [server.stdout, server.stderr]) stream?.on("data", (text) => (output += text));
    await untilServing(`http://localhost:${port}/health`, server, () => output);
  });
  after(async () => {
    if (server.exitCode === null) await stopped(server);
    await rm(directory, { recursive: true });
  });

  const commands = tryItCommands();
  const type = async (title: string): Promise<string> => {
    const command = commands.get(title);
    assert.ok(command !== undefined, `README.md has no command "${title}"`);
    const typed = command.replaceAll("localhost:8787", `localhost:${port}`);
    return (await run("bash", ["-ec", typed], { cwd: directory })).stdout;
  };

  test("are five", () => {
    assert.equal(commands.size, 5);
    for (const command of commands.values()) assert.match(command, /^curl /);
  });

  test("generate an image", async () => {
    const title = "Generate an image (the built-in provider draws one; no key needed) and keep the answer";
    const answer = JSON.parse(await type(title));
    assert.deepEqual(
      { success: answer.success, type: answer.storage.type, provider: answer.generation.provider },
      { success: true, type: "r2", provider: "placeholder" },
    );
    assert.ok(answer.imageUrl.startsWith(`http://localhost:${port}/images/`), answer.imageUrl);
    assert.deepEqual(JSON.parse(await readFile(join(directory, "image.json"), "utf8")), answer);
  });

  test("look at it", async () => {
    const head = await type("Look at it: its headers here, the picture in image.png");
    assert.match(head, /^HTTP\/1.1 200 OK\r\n/);
    assert.match(head, /^content-type: image\/png\r$/im);
    const png = await readFile(join(directory, "image.png"));
    assert.equal(png.toString("latin1", 0, 8), "\x89PNG\r\n\x1a\n");
    assert.deepEqual([png.readUInt32BE(16), png.readUInt32BE(20)], [1024, 1024]);
  });

  test("tell where images are", async () => {
    const status = JSON.parse(await type("See how many images are in R2 and how many in the database"));
    assert.deepEqual(
      { success: status.success, r2Status: status.r2Status, r2ObjectsCount: status.r2ObjectsCount },
      { success: true, r2Status: "connected", r2ObjectsCount: 1 },
    );
    assert.deepEqual(
      { migratedImages: status.migrationStats.migratedImages, base64Images: status.migrationStats.base64Images },
      { migratedImages: 1, base64Images: 0 },
    );
  });

  test("tell how the Worker is", async () => {
    const health = JSON.parse(await type("Ask how it is"));
    assert.deepEqual(
      { status: health.status, services: health.services, configuration: health.configuration },
      { status: "healthy", services: { database: "healthy", r2_storage: "enabled" }, configuration: [] },
    );
  });

  test("delete the image", async () => {
    assert.match(await type("Delete the image"), /^HTTP\/1.1 204 No Content\r\n/);
    const { imageUrl } = JSON.parse(await readFile(join(directory, "image.json"), "utf8"));
    assert.equal((await fetch(imageUrl)).status, 410);
  });

  test("upload a file, as the text below them says", async () => {
    const command = /`(curl --data-binary [^`]+)`/.exec(readme())?.[1] ?? "";
    const photo = join(projectDir, "tests/fixtures/images/baseline.jpg");
    const typed = command.replace("photo.jpg '", `${photo} '`).replace("localhost:8787", `localhost:${port}`);
    assert.notEqual(typed, command);
    const record = JSON.parse((await run("bash", ["-ec", typed])).stdout);
    assert.deepEqual(
      { filename: record.filename, context: record.context, content_type: record.content_type },
      { filename: "photo.jpg", context: "studio", content_type: "image/jpeg" },
    );
  });

  test("leave no process behind when npm start is told to end", async () => {
    const family = await descendants(server.pid ?? 0);
    assert.ok(family.some(({ command }) => command.includes("workerd")), JSON.stringify(family));
    await stopped(server);
    for (const { pid } of family) while (isAlive(pid)) await sleep(POLL_MS);
    await assert.rejects(fetch(`http://localhost:${port}/health`));
  });
});

function readme(): string {
  return readFileSync(join(projectDir, "README.md"), "utf8");
}

/** The commands of the section "Try it" by the comments above them. */
function tryItCommands(): Map<string, string> {
  const block = /^## Try it$[\s\S]*?^```sh\n([\s\S]*?)^```$/m.exec(readme())?.[1] ?? "";
  const paragraphs = block.trim().split("\n\n").map((paragraph) => /^# (.*)\n([\s\S]+)$/.exec(paragraph));
  return new Map(paragraphs.map((match) => [match?.[1] ?? "", match?.[2] ?? ""]));
}

async function untilServing(url: string, server: ChildProcess, output: () => string): Promise<void> {
  for (;;) {
    if (server.exitCode !== null) throw new Error(`npm start ended with ${server.exitCode}:\n${output()}`);
    const response = await fetch(url).catch(() => null);
    if (response?.ok) return;
    await sleep(POLL_MS);
  }
}

async function stopped(server: ChildProcess): Promise<void> {
  const exited = once(server, "exit");
  server.kill("SIGTERM");
  await exited;
}

type Process = { pid: number; parent: number; command: string };

/** The processes started by one, and by those. */
async function descendants(root: number): Promise<Process[]> {
  const { stdout } = await run("ps", ["-eo", "pid=,ppid=,args="]);
  const all = stdout.split("\n").map((line): Process => {
    const [, pid, parent, command = ""] = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line) ?? [];
    return { pid: Number(pid), parent: Number(parent), command };
  });
  const below = (parent: number): Process[] =>
    all.filter((process) => process.parent === parent).flatMap((process) => [process, ...below(process.pid)]);
  return below(root);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
