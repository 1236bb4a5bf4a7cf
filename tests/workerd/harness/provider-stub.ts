// An OpenAI-compatible image server for tests: answers as scripted, remembers what it was asked, and refuses what OpenAI would refuse.
import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { editRefusalOf, refusalOf } from "./provider-schema.ts";

/** What to answer to one request. */
export type Answer = {
  /** 200 when absent. */
  status?: number;
  headers?: Record<string, string>;
  /** An object is sent as JSON. */
  body?: string | Uint8Array | object;
  /** Does not say how long the body is. */
  chunked?: boolean;
  /** Sends the head and this much of the promised body, then breaks the connection. */
  truncateAfterBytes?: number;
  /** Answers only when this resolves; never, when it never does. */
  after?: Promise<unknown>;
};

/** One request as it arrived. */
export type ProviderRequest = {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: Buffer;
  /** The body parsed as JSON; throws for any other. */
  json(): any;
};

export class ProviderStub {
  readonly requests: ProviderRequest[] = [];
  #server: Server;
  #queue: Answer[] = [];
  #files = new Map<string, Answer>();

  private constructor(server: Server) {
    this.#server = server;
    server.on("request", (request, response) => void this.#serve(request, response));
  }

  static async start(): Promise<ProviderStub> {
    const server = createServer();
    const stub = new ProviderStub(server);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return stub;
  }

  /** To be given to the Worker as its base URL. */
  get baseUrl(): string {
    return `${this.#origin}/v1`;
  }

  /** Adds answers for the requests to come, in their order. A request beyond them gets 500. */
  answer(...answers: Answer[]): void {
    this.#queue.push(...answers);
  }

  /** Serves bytes under a URL, for answers that name a URL instead of carrying the image. */
  file(name: string, answer: Answer): string {
    this.#files.set(`/files/${name}`, answer);
    return `${this.#origin}/files/${name}`;
  }

  /** Forgets requests and answers. */
  reset(): void {
    this.requests.length = 0;
    this.#queue = [];
    this.#files.clear();
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  /** What OpenAI's published schema forbids is refused, whatever is scripted. */
  async #refusal(path: string, type: string, body: Buffer): Promise<Answer | undefined> {
    const isEdit = path.endsWith("/images/edits");
    const isGeneration = path.endsWith("/images/generations");
    const error = isEdit ? await editRefusalOf(type, new Uint8Array(body)) : isGeneration ? refusalOf(body.toString()) : undefined;
    return error && { status: 400, body: { error } };
  }

  get #origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = Buffer.concat(await Array.fromAsync(request));
    const path = request.url ?? "/";
    this.requests.push({
      method: request.method ?? "",
      path,
      headers: request.headers,
      body,
      json: () => JSON.parse(body.toString()),
    });
    const type = request.headers["content-type"] ?? "";
    const answer = this.#files.get(path) ?? (await this.#refusal(path, type, body)) ?? this.#queue.shift() ?? NO_ANSWER;
    await answer.after;
    send(response, answer);
  }
}

function send(response: ServerResponse, answer: Answer): void {
  const { status = 200, headers = {}, body = "", chunked = false, truncateAfterBytes } = answer;
  const isBytes = typeof body === "string" || body instanceof Uint8Array;
  const bytes = Buffer.from(isBytes ? body : JSON.stringify(body));
  response.writeHead(status, {
    ...(isBytes ? {} : { "content-type": "application/json" }),
    ...(chunked ? {} : { "content-length": bytes.byteLength }),
    ...headers,
  });
  if (truncateAfterBytes === undefined) response.end(bytes);
  else response.write(bytes.subarray(0, truncateAfterBytes), () => response.destroy());
}

/** The image inside the JSON, as gpt-image models and `response_format: b64_json` give it. */
export function imageInJson(image: Uint8Array, extra: object = {}): Answer {
  return { body: { created: 1_700_000_000, data: [{ b64_json: Buffer.from(image).toString("base64") }], ...extra } };
}

/** A link to the image, as dall-e models give it. */
export function imageAtUrl(url: string): Answer {
  return { body: { created: 1_700_000_000, data: [{ url }] } };
}

/** An error in the provider's form. */
export function providerError(
  status: number,
  code: string,
  message: string,
  headers: Record<string, string> = {},
): Answer {
  return { status, headers, body: { error: { message, type: code, param: null, code } } };
}

const NO_ANSWER = providerError(500, "server_error", "no answer scripted");

export function rateLimited(retryAfterSeconds: number): Answer {
  return providerError(429, "rate_limit_exceeded", "Rate limit reached.", { "retry-after": String(retryAfterSeconds) });
}

export function moderationRefusal(): Answer {
  const message = "Your request was rejected as a result of our safety system.";
  const error = { message, type: "image_generation_user_error", param: null, code: "moderation_blocked" };
  return { status: 400, body: { error } };
}
