/** The test side of the harness's own entry point in workerd. */
export class Control {
  #url: URL;

  constructor(url: URL) {
    this.#url = url;
  }

  async send(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(new URL(path, this.#url), { method, body: body ? JSON.stringify(body) : null });
    if (!response.ok) throw new Error(`${method} ${path} of the harness: ${response.status} ${await response.text()}`);
    return response.json();
  }
}
