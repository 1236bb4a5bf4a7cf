// Stands in for Cloudflare's API, as far as the real wrangler asks it during `npm run deploy`. Codes are Cloudflare's.
import { once } from "node:events";
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";

type Request = { method: string; path: string; query: URLSearchParams; body: string };
type Answer = { result: unknown } | { status: number; code: number; message: string };

const ACCOUNT = "/accounts/1";

export class CloudflareStub {
  readonly buckets = new Map<string, { rules?: unknown }>();
  readonly queues: string[] = [];
  readonly databases: { name: string; uuid: string }[] = [];
  /** The SQL that each database got. */
  readonly queries: { uuid: string; sql: string }[] = [];
  /** The secrets of each Worker. */
  readonly workers = new Map<string, Map<string, string>>();
  /** Names of Workers, in the order of their uploads. */
  readonly uploads: string[] = [];
  /** Paths of the static files that Workers were deployed with. */
  readonly assets: string[] = [];
  /** What asked for something to be made, without uploads. */
  readonly made: string[] = [];
  readonly unknown: string[] = [];
  private readonly server: Server;

  private constructor() {
    this.server = createServer(async (request, response) => {
      const { pathname, searchParams } = new URL(request.url ?? "", "http://stub");
      let body = "";
      for await (const chunk of request.setEncoding("latin1")) body += chunk;
      const answer = this.answer({ method: request.method ?? "", path: pathname, query: searchParams, body });
      response.setHeader("Content-Type", "application/json");
      if ("result" in answer) {
        const count = Array.isArray(answer.result) ? answer.result.length : 1;
        const result_info = { page: 1, per_page: 100, total_pages: 1, count, total_count: count };
        response.end(JSON.stringify({ success: true, errors: [], messages: [], result: answer.result, result_info }));
      } else {
        response.statusCode = answer.status;
        response.end(JSON.stringify({ success: false, errors: [answer], messages: [], result: null }));
      }
    });
  }

  static async start(): Promise<CloudflareStub> {
    const stub = new CloudflareStub();
    stub.server.listen(0, "127.0.0.1");
    await once(stub.server, "listening");
    return stub;
  }

  /** What points wrangler at this server. */
  get environment(): Record<string, string> {
    const { port } = this.server.address() as AddressInfo;
    return { CLOUDFLARE_API_BASE_URL: `http://127.0.0.1:${port}`, CLOUDFLARE_API_TOKEN: "token-of-the-stub" };
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  private answer(request: Request): Answer {
    const { method, path } = request;
    if (path === "/accounts") return { result: [{ id: "1", name: "Someone" }] };
    if (path === "/memberships") return { result: [{ id: "1", account: { id: "1", name: "Someone" } }] };
    if (path === "/user") return { result: { id: "1", email: "someone@example.com" } };
    if (path === "/user/tokens/verify") return { result: { id: "1", status: "active" } };
    const [kind = "", ...rest] = path.replace(`${ACCOUNT}/`, "").split("/");
    const answer =
      kind === "r2" ? this.r2(request, rest) : kind === "queues" ? this.queue(request, rest)
      : kind === "d1" ? this.d1(request, rest) : kind === "workers" ? this.worker(request, rest) : undefined;
    if (answer !== undefined) return answer;
    this.unknown.push(`${method} ${path}`);
    return { status: 404, code: 7003, message: `No route for ${path}` };
  }

  private r2({ method, body }: Request, [, name, part]: string[]): Answer | undefined {
    if (name === undefined && method === "POST") {
      const bucket = JSON.parse(body).name;
      if (this.buckets.has(bucket)) return { status: 409, code: 10004, message: "The bucket you tried to create already exists." };
      this.made.push(`bucket ${bucket}`);
      this.buckets.set(bucket, {});
      return { result: { name: bucket } };
    }
    const bucket = this.buckets.get(name ?? "");
    if (bucket === undefined) return { status: 404, code: 10006, message: "The specified bucket does not exist." };
    if (part === undefined) return { result: { name } };
    if (part !== "cors") return undefined;
    if (method === "PUT") {
      this.made.push(`cors ${name}`);
      bucket.rules = JSON.parse(body).rules;
      return { result: {} };
    }
    const missing = { status: 404, code: 10059, message: "The CORS configuration does not exist." };
    return bucket.rules === undefined ? missing : { result: bucket };
  }

  private queue({ method, query, body }: Request, [id, part]: string[]): Answer | undefined {
    if (id !== undefined) return part === "consumers" ? { result: method === "GET" ? [] : {} } : undefined;
    if (method === "POST") {
      const { queue_name: name } = JSON.parse(body);
      this.made.push(`queue ${name}`);
      this.queues.push(name);
      return { result: { queue_id: name, queue_name: name } };
    }
    const names = query.getAll("name");
    const queues = this.queues.filter((name) => names.length === 0 || names.includes(name));
    const counts = { producers: [], producers_total_count: 0, consumers: [], consumers_total_count: 0 };
    return { result: queues.map((name) => ({ queue_id: name, queue_name: name, ...counts })) };
  }

  private d1({ method, body }: Request, [, uuid, part]: string[]): Answer | undefined {
    if (uuid === undefined && method === "GET") return { result: this.databases };
    if (uuid === undefined) {
      const database = { name: JSON.parse(body).name, uuid: "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee" };
      this.made.push(`database ${database.name}`);
      this.databases.push(database);
      return { result: database };
    }
    if (part !== "query") return undefined;
    this.queries.push({ uuid, sql: JSON.parse(body).sql });
    return { result: [{ results: [], success: true, meta: { duration: 1 } }] };
  }

  private worker({ method, body }: Request, [kind, name = "", part]: string[]): Answer | undefined {
    if (kind === "subdomain") return { result: { subdomain: "someone" } };
    const secrets = this.workers.get(name);
    if (part === "assets-upload-session") {
      // As if each file were there already, from an earlier deployment.
      this.assets.push(...Object.keys(JSON.parse(body).manifest));
      return { result: { jwt: "completion", buckets: [] } };
    }
    if (kind === "scripts" && method === "PUT" && part === undefined) return this.upload(name);
    if (secrets === undefined) return { status: 404, code: 10007, message: "This Worker does not exist on your account." };
    if (kind === "services") {
      return { result: { default_environment: { environment: "production", script: { tag: "1", tags: [], last_deployed_from: "wrangler" } } } };
    }
    if (kind === "workers") return { result: { id: "1", name, subdomain: { enabled: true, previews_enabled: true } } };
    if (kind !== "scripts") return undefined;
    switch (part) {
      case "secrets": {
        if (method === "GET") return { result: [...secrets.keys()].map((secret) => ({ name: secret, type: "secret_text" })) };
        const { name: secret, text } = JSON.parse(body);
        this.made.push(`secret ${secret}`);
        secrets.set(secret, text);
        return { result: { name: secret, type: "secret_text" } };
      }
      case "versions":
        return this.upload(name);
      case "settings":
        return { result: { bindings: [] } };
      case "deployments":
        return { result: { deployments: [] } };
      case "subdomain":
        return { result: { enabled: true, previews_enabled: true } };
      case "schedules":
      case "script-settings":
        return { result: {} };
      default:
        return undefined;
    }
  }

  private upload(name: string): Answer {
    this.uploads.push(name);
    if (!this.workers.has(name)) this.workers.set(name, new Map());
    const version = "01234567-89ab-4cde-8f01-23456789abcd";
    return { result: { id: version, deployment_id: version.replaceAll("-", ""), resources: { script: { etag: "1" } } } };
  }
}
