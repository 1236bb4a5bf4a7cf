// The OpenAPI document against the built Worker: what it declares is answered, what it does not is refused, and Schemathesis, which
// makes requests from it, finds no answer that it does not have. `npm run contract` sets the variables; without them the run is short.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { Failure } from "../../scripts/command.mjs";
import { schemathesis } from "../../scripts/contract/schemathesis.mjs";
import { Client, STORAGE_MODES } from "./client.ts";
import { projectDir } from "./harness/project.ts";
import { API_TOKEN, startWorker } from "./harness/worker.ts";
import type { RunningWorker } from "./harness/worker.ts";

const DOCUMENT = readFileSync(join(projectDir, "src/api/openapi/openapi.json"));
const SETTINGS = join(import.meta.dirname, "contract");
const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"];
const IMAGE_ID = "0f8fad5b-d9cb-469f-a165-70867728950e";
const RUN_ID = "0f8fad5bd9cb469fa16570867728950e";

const SEED = process.env.CONTRACT_SEED ?? "1";
/** Requests of each kind an operation; 5 and their coverage are about 1,000 requests. */
const EXAMPLES = process.env.CONTRACT_EXAMPLES ?? "5";
const IS_REQUIRED = process.env.CONTRACT_REQUIRED !== undefined;
/** Bodies of thousands of zeros make lines that nobody reads. */
const MAX_LINE_CHARACTERS = 400;

type Item = Record<string, { requestBody?: { content: Record<string, unknown> } }>;
const PATHS = Object.entries((JSON.parse(DOCUMENT.toString()) as { paths: Record<string, Item> }).paths);

describe("the document", () => {
  let worker: RunningWorker;
  let client: Client;
  before(async () => {
    worker = await startWorker();
    client = new Client(worker);
  });
  after(() => worker.stop());

  const pathOf = (template: string) =>
    template.replace("{id}", template.includes("/runs/") ? RUN_ID : IMAGE_ID).replace("{number}", "1");

  test("is served as it is committed, to anyone", async () => {
    const response = await worker.fetch("/openapi.json");
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("content-type"), "application/json");
    assert.deepEqual(Buffer.from(await response.arrayBuffer()), DOCUMENT);
  });

  test("declares every method that is answered: the others are 405 with Allow", async () => {
    for (const [template, item] of PATHS) {
      const declared = Object.keys(item).map((method) => method.toUpperCase());
      for (const method of METHODS) {
        const response = await client.call(method, pathOf(template));
        await response.arrayBuffer();
        assert.equal(response.status === 405, !declared.includes(method), `${method} ${template}: ${response.status}`);
        if (response.status !== 405) continue;
        const allowed = (response.headers.get("allow") ?? "").split(", ");
        assert.deepEqual(allowed.toSorted(), declared.toSorted(), `${method} ${template}`);
      }
    }
  });

  test("declares every content type that is taken: the others are 415", async () => {
    const operations = PATHS.flatMap(([template, item]) =>
      Object.entries(item).map(([method, { requestBody }]) => ({ template, method, requestBody })),
    );
    // These are opened by a signature, which is asked for first.
    const bySignature = ["/uploads/{id}", "/uploads/s3/{id}"];
    const withBody = operations.filter(({ template, requestBody }) => requestBody !== undefined && !bySignature.includes(template));
    assert.equal(withBody.length, 17);
    for (const { template, method, requestBody } of withBody) {
      for (const type of ["text/plain", "application/xml", "multipart/form-data; boundary=x", "application/json-seq"]) {
        if ((type.split(";")[0] ?? "") in (requestBody?.content ?? {})) continue;
        const headers = { "content-type": type };
        const response = await client.call(method.toUpperCase(), pathOf(template), { headers, body: "{}" });
        const problem = await response.json();
        assert.equal(response.status, 415, `${method} ${template} ${type}: ${JSON.stringify(problem)}`);
      }
    }
  });
});

describe("Schemathesis finds nothing", () => {
  for (const { storage, vars } of STORAGE_MODES) {
    test(`with images in ${storage}, seed ${SEED}, ${EXAMPLES} examples`, async (context) => {
      const program = await schemathesis().catch((error) => {
        if (IS_REQUIRED || !(error instanceof Failure)) throw error;
        return error;
      });
      if (program instanceof Failure) {
        console.log(`SKIPPED: the API is not checked against its document. ${program.message}`);
        return context.skip(program.message);
      }
      const directory = await mkdtemp(join(tmpdir(), "stillstore-contract-"));
      // Of other hosts, nothing can be fetched, and what cannot be is no fault of the Worker's. Jobs are taken, and fail behind the answer.
      const outside = { FETCH_ALLOWED_HOSTS: "images.example", OPENAI_BASE_URL: "https://images.example/v1", OPENAI_API_KEY: "none" };
      const worker = await startWorker({ vars: { ...vars, ...outside, EDIT_PROVIDER: "openai" } });
      try {
        // The systematic part is the same for both stores.
        const phases = storage === "r2" || IS_REQUIRED ? "coverage,fuzzing,stateful" : "fuzzing,stateful";
        const { code, output } = await run(program, directory, worker.url, phases);
        if (IS_REQUIRED || code !== 0) console.log(output);
        assert.equal(code, 0, "Schemathesis found something: its report is above");
        assert.match(output, /Tested: \d\d/);
      } finally {
        await worker.stop();
        await rm(directory, { recursive: true, force: true });
      }
    });
  }
});

async function run(program: string, directory: string, url: string, phases: string): Promise<{ code: number; output: string }> {
  const options = {
    seed: SEED,
    phases,
    url: url.replace(/\/$/, ""),
    header: `Authorization: Bearer ${API_TOKEN}`,
    "max-examples": EXAMPLES,
  };
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
  const child = spawn(
    program,
    ["--config-file", join(SETTINGS, "schemathesis.toml"), "run", `${url}openapi.json`, "--no-color", ...args],
    {
      // Where it leaves what it may be asked for later.
      cwd: directory,
      env: { ...process.env, SCHEMATHESIS_HOOKS: join(SETTINGS, "hooks.py"), PYTHONDONTWRITEBYTECODE: "1" },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (output += text));
  const [code] = await once(child, "close");
  const clipped = output.split("\n").map((line) => line.slice(0, MAX_LINE_CHARACTERS));
  return { code: code ?? 1, output: clipped.join("\n") };
}
