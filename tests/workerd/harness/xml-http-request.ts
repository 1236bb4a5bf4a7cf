// XMLHttpRequest as far as Uppy uses it, over Node's fetch: Uppy is a browser's library, and Node has none.
class Request {
  #method = "GET";
  #url = "";
  #headers = new Headers();
  #answered = new Headers();
  #controller = new AbortController();
  status = 0;
  statusText = "";
  responseText = "";
  withCredentials = false;
  upload: { onprogress?: (event: object) => void } = {};
  onload?: () => void;
  onerror?: () => void;

  open(method: string, url: string): void {
    this.#method = method;
    this.#url = url;
  }

  setRequestHeader(name: string, value: string): void {
    this.#headers.append(name, value);
  }

  getResponseHeader(name: string): string | null {
    return this.#answered.get(name);
  }

  abort(): void {
    this.#controller.abort();
  }

  send(body: RequestInit["body"] = null): void {
    void this.#send(body);
  }

  async #send(body: RequestInit["body"]): Promise<void> {
    // A browser sends a Blob's type where there is no header for it, and Node does too; one without a type has none.
    const init = { method: this.#method, headers: this.#headers, body, signal: this.#controller.signal };
    try {
      const response = await fetch(this.#url, init);
      this.responseText = await response.text();
      this.#answered = response.headers;
      this.status = response.status;
      this.statusText = response.statusText;
    } catch {
      this.onerror?.();
      return;
    }
    const loaded = body instanceof Blob ? body.size : 0;
    this.upload.onprogress?.({ lengthComputable: true, loaded, total: loaded });
    this.onload?.();
  }
}

/** Gives scripts the global. */
export function installXmlHttpRequest(): void {
  Object.assign(globalThis, { XMLHttpRequest: Request });
}
