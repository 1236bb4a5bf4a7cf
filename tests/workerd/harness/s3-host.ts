// A host between the Worker and an S3 endpoint: counts what is asked, and can die in the middle, lie about lengths, be slow.
import { once } from "node:events";
import { createServer, request as ask } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What is asked of the endpoint. */
export type Asked = { method: string; path: string; isListing: boolean; range: string | undefined };

/**
 * What goes wrong with an answer:
 * - `status`: this, in place of what the endpoint says;
 * - `breakAfter`: the connection ends behind so many bytes of the body;
 * - `longerBy`: the length that is declared is so much longer than the body;
 * - `otherBytes`: the bytes are others, as many;
 * - `until`: it waits for this behind its first bytes.
 */
export type Trouble = { status?: number; breakAfter?: number; longerBy?: number; otherBytes?: true; until?: Promise<unknown> };

export class S3Host {
  readonly asked: Asked[] = [];
  /** Says what goes wrong with the answer to a request; nothing when absent. */
  trouble: (asked: Asked) => Trouble | undefined | Promise<Trouble | undefined> = () => undefined;
  #server: Server;
  #port: number;

  private constructor(port: number) {
    this.#port = port;
    this.#server = createServer((request, response) => void this.#pass(request, response).catch(() => response.destroy()));
  }

  /** In front of the endpoint at a port of this machine. */
  static async start(port: number): Promise<S3Host> {
    const host = new S3Host(port);
    await new Promise<void>((resolve) => host.#server.listen(0, "127.0.0.1", resolve));
    return host;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The reads of objects so far. */
  get reads(): Asked[] {
    return this.asked.filter(({ isListing }) => !isListing);
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? "/", this.origin);
    const { range } = request.headers;
    const asked = { method: request.method ?? "", path: decodeURIComponent(pathname), isListing: searchParams.has("list-type"), range };
    this.asked.push(asked);
    const trouble = (await this.trouble(asked)) ?? {};
    if (trouble.status !== undefined) {
      response.writeHead(trouble.status).end();
      return;
    }
    // The signature covers the header `host`, which stays as it is.
    const options = { host: "127.0.0.1", port: this.#port, method: request.method, path: request.url, headers: request.headers };
    const passed = ask(options, (answer) => void this.#answer(answer, response, trouble).catch(() => response.destroy()));
    passed.on("error", () => response.destroy());
    request.pipe(passed);
  }

  async #answer(answer: IncomingMessage, response: ServerResponse, trouble: Trouble): Promise<void> {
    const headers = { ...answer.headers };
    if (trouble.longerBy !== undefined) headers["content-length"] = String(Number(headers["content-length"]) + trouble.longerBy);
    response.writeHead(answer.statusCode ?? 502, headers);
    const closed = once(response, "close");
    let sentBytes = 0;
    for await (const run of answer as AsyncIterable<Buffer>) {
      const bytes = trouble.otherBytes ? Buffer.alloc(run.length, 0x2a) : run;
      const rest = trouble.breakAfter === undefined ? bytes : bytes.subarray(0, Math.max(0, trouble.breakAfter - sentBytes));
      if (response.destroyed) return;
      if (!response.write(rest)) await Promise.race([once(response, "drain"), closed]);
      sentBytes += rest.length;
      if (sentBytes === trouble.breakAfter) {
        // What was written goes out first.
        await new Promise((resolve) => setTimeout(resolve, 20));
        response.destroy();
        return;
      }
      await trouble.until;
    }
    response.end();
  }
}
