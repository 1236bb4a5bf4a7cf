// Writes the types of the API's JSON for the tests, from src/api/openapi/openapi.json: node scripts/api-types.mjs
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { runIfProgram } from "./command.mjs";
import { projectDir } from "./toolchain.mjs";

export const API_TYPES_PATH = join(projectDir, "tests/workerd/harness/api-types.ts");

/**
 * What of JSON Schema the document uses for shapes.
 * @typedef {object} Schema
 * @property {string} [$ref]
 * @property {string | string[]} [type]
 * @property {unknown} [const]
 * @property {unknown[]} [enum]
 * @property {Schema[]} [anyOf]
 * @property {Schema[]} [oneOf]
 * @property {Schema} [items]
 * @property {Record<string, Schema>} [properties]
 * @property {string[]} [required]
 * @property {Schema | boolean} [additionalProperties]
 */

/** The file's text. */
export function apiTypes() {
  const document = JSON.parse(readFileSync(join(projectDir, "src/api/openapi/openapi.json"), "utf8"));
  /** @type {[string, Schema][]} */
  const schemas = Object.entries(document.components.schemas);
  const types = schemas.map(([name, schema]) => `export type ${name} = ${typeOf(schema)};\n`);
  return `// Generated from src/api/openapi/openapi.json by scripts/api-types.mjs.\n\n${types.join("\n")}`;
}

/**
 * @param {Schema} schema
 * @returns {string}
 */
function typeOf(schema) {
  if (schema.$ref !== undefined) return schema.$ref.replace("#/components/schemas/", "");
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const choices = schema.anyOf ?? schema.oneOf;
  const own = [schema.type ?? []].flat().map((type) => typeOfKind(type, schema));
  if (choices === undefined) return own.length === 0 ? "unknown" : own.join(" | ");
  const union = choices.map(typeOf).join(" | ");
  return own.length === 0 ? union : `(${own.join(" | ")}) & (${union})`;
}

/**
 * @param {string} kind
 * @param {Schema} schema
 */
function typeOfKind(kind, { items, properties, required = [], additionalProperties }) {
  if (kind === "array") return `(${typeOf(items ?? {})})[]`;
  if (kind === "integer") return "number";
  if (kind !== "object") return kind;
  if (properties === undefined) {
    return `Record<string, ${typeof additionalProperties === "object" ? typeOf(additionalProperties) : "unknown"}>`;
  }
  const fields = Object.entries(properties).map(
    ([name, schema]) => `${JSON.stringify(name)}${required.includes(name) ? "" : "?"}: ${typeOf(schema)}`,
  );
  return `{ ${fields.join("; ")} }`;
}

await runIfProgram(import.meta.url, async () => {
  writeFileSync(API_TYPES_PATH, apiTypes());
});
