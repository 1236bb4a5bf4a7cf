// What the pages of docs/walkthroughs tell people to type, typed word for word, with images in R2 and in the database.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { buffer, text } from "node:stream/consumers";
import { describe, test } from "node:test";

import { Response as MiniflareResponse } from "miniflare";
import { parse } from "smol-toml";

import { STORAGE_MODES } from "./client.ts";
import { projectDir } from "./harness/project.ts";
import { API_TOKEN, startWorker } from "./harness/worker.ts";

const PAGES = join(projectDir, "docs/walkthroughs");
/** What the pages call the Worker and its token. */
const PAGE_URL = "http://localhost:8787";
const PAGE_TOKEN = "dev-token";
/** Ends what one block printed. */
const BLOCK_END = "\u001e";
/** In a shown output: anything. */
const ELLIPSIS = "...";

/** A block that is typed, and what the page shows as its output. */
type Step = { command: string; output: string | undefined };

for (const file of readdirSync(PAGES).filter((name) => name.endsWith(".md"))) {
  describe(file, () => {
    const page = readFileSync(join(PAGES, file), "utf8");
    for (const { storage, vars } of STORAGE_MODES) {
      test(`with images in ${storage}`, async () => {
        const worker = await startWorker({ vars: { ...varsOf(page), ...vars }, fetchMock: outside });
        const directory = await mkdtemp(join(tmpdir(), "stillstore-walkthrough-"));
        try {
          const tables = join(PAGES, file.replace(/\.md$/, ".sql"));
          if (existsSync(tables)) {
            for (const statement of statementsOf(readFileSync(tables, "utf8"))) await worker.db.prepare(statement).run();
          }
          for (const name of ["docs", "tests"]) await symlink(join(projectDir, name), join(directory, name));
          await walk(stepsOf(page), worker.url.replace(/\/$/, ""), directory);
        } finally {
          await worker.stop();
          await rm(directory, { recursive: true });
        }
      });
    }
  });
}

test("an output that differs is noticed", async () => {
  const steps = [{ command: "echo one two", output: "one ... three" }];
  await assert.rejects(walk(steps, PAGE_URL, tmpdir()), /echo one two/);
  await assert.rejects(walk([{ command: "false; echo on", output: undefined }], PAGE_URL, tmpdir()), /false; echo on/);
  await walk([{ command: "echo one two", output: "one ...\n" }], PAGE_URL, tmpdir());
});

/** What is out there on the internet: any URL gives the picture of its name, if there is one. */
async function outside({ url }: { url: string }): Promise<MiniflareResponse> {
  const path = join(projectDir, "docs/images", basename(new URL(url).pathname));
  if (!existsSync(path)) return new MiniflareResponse("This content is no longer available.", { status: 404 });
  return new MiniflareResponse(readFileSync(path), { headers: { "content-type": "image/png" } });
}

/** The variables that the page has its reader set in wrangler.toml. */
function varsOf(page: string): Record<string, string> {
  const blocks = blocksOf(page).filter(({ language }) => language === "toml");
  return Object.assign({}, ...blocks.map(({ code }) => parse(code).vars));
}

function stepsOf(page: string): Step[] {
  const blocks = blocksOf(page);
  const outputAfter = (index: number) => {
    const next = blocks[index + 1];
    return next?.language === "text" ? next.code : undefined;
  };
  const steps = blocks.flatMap(({ language, code }, index) =>
    language === "sh" ? [{ command: code, output: outputAfter(index) }] : [],
  );
  assert.ok(steps.length > 0, "the page has no commands");
  return steps;
}

function blocksOf(page: string): { language: string; code: string }[] {
  const blocks = page.matchAll(/^```(\w*)\n(.*?)^```$/gms);
  return Array.from(blocks, ([, language = "", code = ""]) => ({ language, code }));
}

/** Statements of SQL without semicolons within them. */
function statementsOf(sql: string): string[] {
  return sql.split(/;\s*$/m).map((statement) => statement.replaceAll(/^--.*$/gm, "").trim()).filter((statement) => statement !== "");
}

/** Types the steps into one shell, which ends at the first command that fails, and compares what they print with what the page shows. */
async function walk(steps: Step[], url: string, directory: string): Promise<void> {
  const here = (shown: string) => shown.replaceAll(PAGE_URL, url).replaceAll(PAGE_TOKEN, API_TOKEN);
  const script = steps.map(({ command }) => `${here(command)}\nprintf '${BLOCK_END}'\n`).join("");
  const shell = spawn("bash", ["-euo", "pipefail", "-c", script], { cwd: directory, stdio: ["ignore", "pipe", "pipe"] });
  const [printed, errors] = await Promise.all([
    buffer(shell.stdout).then(String),
    text(shell.stderr),
    shell.exitCode ?? once(shell, "exit"),
  ]);
  const outputs = printed.split(BLOCK_END);
  for (const [index, { command, output }] of steps.entries()) {
    const seen = outputs[index] ?? "";
    assert.ok(index < outputs.length - 1, `failed: ${command}\n${seen}\n${errors}`);
    if (output === undefined) continue;
    const pattern = here(output).trim().split(ELLIPSIS).map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("[^]*?");
    assert.match(seen.trim(), new RegExp(`^${pattern}$`), `${command}\n${errors}`);
  }
}
