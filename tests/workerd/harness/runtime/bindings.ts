// Puts fault injection between a Worker and its bindings, which keep their class names: the Rust side checks those.
import { intercept } from "./faults.ts";
import type { Rows } from "./faults.ts";

/** The same environment with every D1 database, R2 bucket, queue and AI binding intercepted. */
export function interceptBindings(env: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(env).map(([name, value]) => [name, interceptBinding(name, value)]));
}

function interceptBinding(name: string, value: unknown): unknown {
  switch (className(value)) {
    case "D1Database":
      return interceptDatabase(name, value as D1Database);
    case "R2Bucket":
    case "WorkerQueue":
    case "Ai":
      return interceptMethods(name, value as object);
    default:
      return value;
  }
}

/** Every method returns a promise and has the key, model or message as its first argument. */
function interceptMethods<T extends object>(binding: string, target: T, key?: string): T {
  return new Proxy(target, {
    get(_, property) {
      const value = member(target, property);
      if (typeof value !== "function" || property === "constructor") return value;
      const method = String(property);
      if (method === "resumeMultipartUpload") {
        return (...args: unknown[]) => interceptMethods(binding, value(...args), subjectOf(args[0]));
      }
      return (...args: unknown[]) => {
        const call = { binding, method, subject: key ?? subjectOf(args[0]), injectedError: methodError(method) };
        return intercept(call, async () => {
          const result = await value(...args);
          return className(result) === "R2MultipartUpload" ? interceptMethods(binding, result, call.subject) : result;
        });
      };
    },
  });
}

/** `prepare`, `bind` and `withSession` are synchronous and reach no database: what is made from them is intercepted. */
function interceptDatabase<T extends D1Database | D1DatabaseSession>(binding: string, database: T): T {
  return new Proxy(database, {
    get(_, property) {
      switch (property) {
        case "prepare":
          return (sql: string) => interceptStatement(binding, database.prepare(sql), sql);
        case "batch":
          return (statements: D1PreparedStatement[]) => interceptBatch(binding, database, statements);
        case "withSession":
          return (start?: string) => interceptDatabase(binding, (database as D1Database).withSession(start));
        case "exec":
          return (sql: string) => {
            const call = { binding, method: "exec", subject: sql, injectedError: d1Error };
            return intercept(call, () => (database as D1Database).exec(sql));
          };
        default:
          return member(database, property);
      }
    },
  });
}

/** The real statement and its SQL, by the proxy the Worker holds. */
const realStatements = new WeakMap<D1PreparedStatement, { statement: D1PreparedStatement; sql: string }>();

function interceptStatement(binding: string, statement: D1PreparedStatement, sql: string): D1PreparedStatement {
  const proxy = new Proxy(statement, {
    get(_, property) {
      const call = (method: string) => ({ binding, method, subject: sql, injectedError: d1Error });
      switch (property) {
        case "bind":
          return (...values: unknown[]) => interceptStatement(binding, statement.bind(...values), sql);
        case "run":
        case "all":
          return () => intercept(call(property), async (record) => noteRows(record, await statement[property]()));
        case "first":
          return (column?: string) => intercept(call(property), (record) => first(record, statement, column));
        case "raw":
          return (options?: { columnNames?: false }) => intercept(call(property), () => statement.raw(options));
        default:
          return member(statement, property);
      }
    },
  });
  realStatements.set(proxy, { statement, sql });
  return proxy;
}

function interceptBatch(
  binding: string,
  database: Pick<D1Database, "batch">,
  proxies: D1PreparedStatement[],
): Promise<D1Result[]> {
  const entries = proxies.map((proxy) => realStatements.get(proxy) ?? { statement: proxy, sql: "" });
  const subject = entries.map(({ sql }) => sql).join("\n");
  return intercept({ binding, method: "batch", subject, injectedError: d1Error }, async (record) => {
    const results = await database.batch(entries.map(({ statement }) => statement));
    for (const result of results) noteRows(record, result);
    return results;
  });
}

/** D1's own `first` hides the row counts; this answers the same from `all`, which is the same query. */
async function first(record: Rows, statement: D1PreparedStatement, column?: string | null): Promise<unknown> {
  const { results } = noteRows(record, await statement.all<Record<string, unknown>>());
  const row = results[0];
  if (row === undefined || column === undefined || column === null) return row ?? null;
  if (!(column in row)) throw new Error("D1_COLUMN_NOTFOUND", { cause: new Error("Column not found") });
  return row[column];
}

function noteRows<R extends D1Result<unknown>>(record: Rows, result: R): R {
  record.rowsRead = (record.rowsRead ?? 0) + result.meta.rows_read;
  record.rowsWritten = (record.rowsWritten ?? 0) + result.meta.rows_written;
  return result;
}

const R2_INTERNAL_ERROR = "We encountered an internal error. Please try again. (10001)";

/** As R2 words it. */
function methodError(method: string): (message?: string) => Error {
  return (message = R2_INTERNAL_ERROR) => new Error(`${method}: ${message}`);
}

/** The Rust side reads the message of the cause. */
function d1Error(message = "Network connection lost."): Error {
  return new Error(`D1_ERROR: ${message}`, { cause: new Error(message) });
}

/** Native methods want their own object as `this`, not the proxy. A bound constructor would lose its name. */
function member(target: object, property: string | symbol): any {
  const value = Reflect.get(target, property, target);
  return typeof value === "function" && property !== "constructor" ? value.bind(target) : value;
}

function className(value: unknown): string | undefined {
  return typeof value === "object" && value !== null ? value.constructor?.name : undefined;
}

function subjectOf(argument: unknown): string {
  if (typeof argument === "string") return argument;
  if (Array.isArray(argument)) return argument.map(subjectOf).join("\n");
  return argument === undefined ? "" : JSON.stringify(argument);
}
