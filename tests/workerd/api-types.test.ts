// The types of the API's JSON are those of its OpenAPI document.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { apiFiles } from "../../scripts/api-types.mjs";
import { projectDir } from "./harness/project.ts";

test("the types are as scripts/api-types.mjs writes them", () => {
  for (const [path, text] of Object.entries(apiFiles())) assert.equal(readFileSync(join(projectDir, path), "utf8"), text, path);
});
