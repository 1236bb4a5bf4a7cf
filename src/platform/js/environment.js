// The Worker's environment: variables, secrets and bindings.

/**
 * The variables and secrets as a JSON object of strings, then the bindings called `names`, `null` where there is none.
 * @param {Record<string, unknown>} env
 * @param {string[]} names
 */
export function read(env, ...names) {
  // `ENABLE_R2_STORAGE = true` in wrangler.toml arrives as a boolean.
  const texts = Object.entries(env).filter(([, value]) => ["string", "number", "boolean"].includes(typeof value));
  const variables = Object.fromEntries(texts.map(([name, value]) => [name, String(value)]));
  return [JSON.stringify(variables), ...names.map((name) => bindingOf(env[name]))];
}

/** @param {unknown} value */
function bindingOf(value) {
  return typeof value === "object" || typeof value === "function" ? value : null;
}

/**
 * The binding called `name` when it is a D1 database, else `null`.
 * @param {Record<string, unknown>} env
 * @param {string} name
 */
export function databaseOf(env, name) {
  const binding = Object.hasOwn(env, name) ? env[name] : null;
  return typeof binding === "object" && binding !== null && "prepare" in binding && "batch" in binding ? binding : null;
}
