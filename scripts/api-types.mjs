// Writes what the console and the tests know of the API, from src/api/openapi/openapi.json: node scripts/api-types.mjs
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { runIfProgram } from "./command.mjs";
import { projectDir } from "./toolchain.mjs";

const FROM = "// Generated from src/api/openapi/openapi.json by scripts/api-types.mjs.\n\n";

/** Mirrors of routes, which no program asks by themselves. */
const MIRRORS = new Set(["head", "options"]);

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

/**
 * @typedef {object} Operation
 * @property {string} operationId
 * @property {{ in: string, name: string, required?: boolean, schema: Schema }[]} [parameters]
 * @property {{ content: Record<string, { schema?: Schema }> }} [requestBody]
 * @property {Record<string, { content?: Record<string, { schema?: Schema }> }>} responses
 */

/**
 * The files, by their paths in the project.
 * @returns {Record<string, string>}
 */
export function apiFiles() {
  const document = JSON.parse(readFileSync(join(projectDir, "src/api/openapi/openapi.json"), "utf8"));
  return {
    "console/src/api/types.ts": types(document.components.schemas),
    "console/src/api/operations.ts": operations(document.paths),
    "tests/workerd/harness/api-types.ts": `${FROM}export type * from "../../../console/src/api/types.ts";\n`,
  };
}

/** @param {Record<string, Schema>} schemas */
function types(schemas) {
  const lines = Object.entries(schemas).map(([name, schema]) => `export type ${name} = ${typeOf(schema)};\n`);
  return FROM + lines.join("\n");
}

/** @param {Record<string, Record<string, Operation>>} paths */
function operations(paths) {
  const methods = Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).flatMap(([method, operation]) => (MIRRORS.has(method) ? [] : [{ path, method, operation }])),
  );
  const routes = methods.map(
    ({ path, method, operation }) => `  ${JSON.stringify(operation.operationId)}: [${JSON.stringify(method.toUpperCase())}, ${JSON.stringify(path)}],\n`,
  );
  const shapes = methods.map(({ operation }) => `  ${JSON.stringify(operation.operationId)}: ${shapeOf(operation)};\n`);
  return [
    FROM,
    'import type * as T from "./types.ts";\n\n',
    "/** Method and path of each operation. */\n",
    `export const ROUTES = {\n${routes.join("")}} as const;\n\n`,
    "/** What each operation takes and answers. */\n",
    `export type Operations = {\n${shapes.join("")}};\n`,
  ].join("");
}

/** @param {Operation} operation */
function shapeOf({ parameters = [], requestBody, responses }) {
  /** @param {string} place */
  const named = (place) =>
    parameters
      .filter((parameter) => parameter.in === place)
      .map(({ name, required, schema }) => `${JSON.stringify(name)}${required ? "" : "?"}: ${typeOf(schema, "T.")}`)
      .join("; ");
  const bodies = Object.entries(requestBody?.content ?? {}).map(([type, { schema }]) =>
    type === "application/json" ? typeOf(schema ?? {}, "T.") : "BodyInit",
  );
  const answers = Object.values(responses).flatMap(({ content = {} }) =>
    "application/json" in content ? [typeOf(content["application/json"]?.schema ?? {}, "T.")] : [],
  );
  /** @param {string[]} choices */
  const union = (choices) => [...new Set(choices)].join(" | ") || "undefined";
  return `{ path: { ${named("path")} }; query: { ${named("query")} }; body: ${union(bodies)}; answer: ${union(answers)} }`;
}

/**
 * @param {Schema} schema
 * @param {string} [module] before the names of types
 * @returns {string}
 */
function typeOf(schema, module = "") {
  if (schema.$ref !== undefined) return schema.$ref.replace("#/components/schemas/", module);
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const choices = schema.anyOf ?? schema.oneOf;
  const own = [schema.type ?? []].flat().map((type) => typeOfKind(type, schema, module));
  if (choices === undefined) return own.length === 0 ? "unknown" : own.join(" | ");
  const union = choices.map((choice) => typeOf(choice, module)).join(" | ");
  return own.length === 0 ? union : `(${own.join(" | ")}) & (${union})`;
}

/**
 * @param {string} kind
 * @param {Schema} schema
 * @param {string} module
 */
function typeOfKind(kind, { items, properties, required = [], additionalProperties }, module) {
  if (kind === "array") return `(${typeOf(items ?? {}, module)})[]`;
  if (kind === "integer") return "number";
  if (kind !== "object") return kind;
  if (properties === undefined) {
    return `Record<string, ${typeof additionalProperties === "object" ? typeOf(additionalProperties, module) : "unknown"}>`;
  }
  const fields = Object.entries(properties).map(
    ([name, schema]) => `${JSON.stringify(name)}${required.includes(name) ? "" : "?"}: ${typeOf(schema, module)}`,
  );
  return `{ ${fields.join("; ")} }`;
}

await runIfProgram(import.meta.url, async () => {
  for (const [path, text] of Object.entries(apiFiles())) writeFileSync(join(projectDir, path), text);
});
