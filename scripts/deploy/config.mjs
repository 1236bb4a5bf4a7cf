// What a wrangler.toml names that an account must have.
import { readFileSync, writeFileSync } from "node:fs";
import { parse } from "smol-toml";

import { Failure } from "../command.mjs";
import { withDatabaseId } from "./toml.mjs";

/** The bindings of the Worker (`src/platform`). */
const DATABASE = "DB";
const IMAGES = "R2_IMAGES";

const PLACEHOLDER = /^[0-]*$/;

/**
 * @typedef {{ name: string, jurisdiction?: string, holdsImages: boolean }} Bucket
 * @typedef {object} Database
 * @property {string} binding
 * @property {string} [name]
 * @property {string} [id] undefined where the file has none or the placeholder
 * @property {string} [jurisdiction]
 * @property {boolean} isMigrated whether Stillstore's tables belong into it
 * @typedef {{ accountId?: string, buckets: Bucket[], queues: string[], databases: Database[] }} Resources
 *
 * @typedef {object} Environment the parts of a top level or of an [env.X] that are read here
 * @property {string} [account_id]
 * @property {{ binding?: string, bucket_name?: string, jurisdiction?: string }[]} [r2_buckets]
 * @property {import("./toml.mjs").DatabaseEntry[]} [d1_databases]
 * @property {{ producers?: { queue?: string }[], consumers?: { queue?: string, dead_letter_queue?: string }[] }} [queues]
 */

/**
 * @typedef {Pick<import("./options.mjs").DeployOptions, "configPath" | "configName" | "environment">} Source
 */

/**
 * @param {Source} source
 * @returns {Resources}
 */
export function readResources({ configPath, configName: file, environment }) {
  const top = /** @type {Environment & { env?: Record<string, Environment> }} */ (parseFile(configPath, file));
  const section = environment === undefined ? top : top.env?.[environment];
  if (section === undefined) throw new Failure(`${file} has no section [env.${environment}].`);

  const { r2_buckets: buckets = [], d1_databases: databases = [], queues: { producers = [], consumers = [] } = {} } = section;
  if (!databases.some(({ binding }) => binding === DATABASE)) {
    const where = environment === undefined ? file : `[env.${environment}] of ${file}, which inherits no bindings,`;
    throw new Failure(`${where} binds no D1 database as ${DATABASE}.`);
  }
  const queues = [...producers.map(({ queue }) => queue), ...consumers.flatMap((c) => [c.queue, c.dead_letter_queue])];
  return {
    accountId: section.account_id ?? top.account_id,
    // What has no name is left to wrangler, which makes a name and the resource as it deploys.
    buckets: buckets.flatMap(({ binding, bucket_name: name, jurisdiction }) =>
      name === undefined ? [] : [{ name, jurisdiction, holdsImages: binding === IMAGES }],
    ),
    queues: [...new Set(queues.filter((name) => name !== undefined))],
    databases: databases.map(({ binding, database_name: name, database_id: id, jurisdiction, migrations_dir: migrations }) => {
      const isPlaceholder = id === undefined || PLACEHOLDER.test(id);
      if (isPlaceholder && name === undefined) throw new Failure(`${file}: the database ${binding} has no database_name.`);
      const isMigrated = binding === DATABASE || migrations !== undefined;
      return { binding, name, id: isPlaceholder ? undefined : id, jurisdiction, isMigrated };
    }),
  };
}

/**
 * Writes the id of a database into the file, which otherwise stays as it is.
 * @param {Source} source
 * @param {string} binding
 * @param {string} id
 */
export function recordDatabaseId({ configPath, configName, environment }, binding, id) {
  const text = withDatabaseId(readFileSync(configPath, "utf8"), environment, binding, id);
  if (text === undefined) {
    throw new Failure(
      `The entry of ${binding} in ${configName} is not a [[d1_databases]] table with a line for each key.\n` +
        `Write database_id = "${id}" into it.`,
    );
  }
  writeFileSync(configPath, text);
}

/**
 * @param {string} path
 * @param {string} file how messages call it
 */
function parseFile(path, file) {
  try {
    return parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new Failure(`${file} cannot be read: ${error instanceof Error ? error.message : error}`);
  }
}
