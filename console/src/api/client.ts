// Asks the API. What each operation takes and answers comes from openapi.json, so that a route that changed does not compile here.
import { ROUTES } from "./operations.ts";
import type { Operations } from "./operations.ts";
import { token } from "./token.ts";
import type { Problem } from "./types.ts";

export type OperationName = keyof Operations;

type Given<Name extends OperationName> = {
  path?: Operations[Name]["path"];
  query?: Operations[Name]["query"];
  body?: Operations[Name]["body"];
  headers?: Record<string, string>;
  signal?: AbortSignal;
};

/** The API refused: a problem document. */
export class Refused extends Error {
  readonly problem: Problem;
  constructor(problem: Problem) {
    super(problem.title);
    this.problem = problem;
  }
}

/** No answer, or one that is not the API's. */
export class Unreachable extends Error {}

/** Path and query of an operation. */
export function pathOf<Name extends OperationName>(name: Name, { path, query }: Pick<Given<Name>, "path" | "query"> = {}): string {
  const ids = (path ?? {}) as Record<string, string | number>;
  const filled = ROUTES[name][1].replace(/\{(\w+)\}/g, (_, id: string) => encodeURIComponent(String(ids[id])));
  const pairs = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== "");
  const search = new URLSearchParams(pairs.map(([key, value]) => [key, String(value)])).toString();
  return search === "" ? filled : `${filled}?${search}`;
}

export function authorization(): Record<string, string> {
  const shown = token();
  return shown === undefined ? {} : { Authorization: `Bearer ${shown}` };
}

/** The answer itself, for bodies that are not JSON. Throws `Refused` or `Unreachable`. */
export async function request<Name extends OperationName>(name: Name, given: Given<Name> = {}): Promise<Response> {
  const { body, headers, signal } = given;
  const isJson = body !== undefined && Object.getPrototypeOf(body) === Object.prototype;
  let response: Response;
  try {
    response = await fetch(pathOf(name, given), {
      method: ROUTES[name][0],
      headers: { ...authorization(), ...(isJson ? { "Content-Type": "application/json" } : {}), ...headers },
      body: isJson ? JSON.stringify(body) : ((body ?? null) as BodyInit | null),
      cache: "no-store",
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new Unreachable("The Worker did not answer. Check the connection and try again.");
  }
  await throwIfRefused(response);
  return response;
}

/** The answer's JSON; undefined when it has no body. */
export async function call<Name extends OperationName>(name: Name, given: Given<Name> = {}): Promise<Operations[Name]["answer"]> {
  const response = await request(name, given);
  if (response.status === 204) return undefined as Operations[Name]["answer"];
  return (await response.json()) as Operations[Name]["answer"];
}

async function throwIfRefused(response: Response): Promise<void> {
  const type = response.headers.get("Content-Type") ?? "";
  if (type.startsWith("application/problem+json")) throw new Refused((await response.json()) as Problem);
  // GET /health answers 503 with its own JSON.
  if (!response.ok && !type.startsWith("application/json")) {
    throw new Unreachable(`The answer, ${response.status}, is not Stillstore's: something in front of the Worker gave it.`);
  }
}

/** A problem of an answer that was not asked for by `request`. */
export function problemIn(text: string): Refused | Unreachable {
  try {
    const problem = JSON.parse(text) as Problem;
    if (typeof problem.code === "string") return new Refused(problem);
  } catch {
    // Said below.
  }
  return new Unreachable("The answer is not Stillstore's: something in front of the Worker gave it.");
}
