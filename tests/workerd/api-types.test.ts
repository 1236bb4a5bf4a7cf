// The types of the API's JSON are those of its OpenAPI document.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { API_TYPES_PATH, apiTypes } from "../../scripts/api-types.mjs";

test("the types are as scripts/api-types.mjs writes them", () => {
  assert.equal(readFileSync(API_TYPES_PATH, "utf8"), apiTypes());
});
