// Stands in for the Workers AI binding, which needs an account: the test process answers in its place.

/** Has the name of the platform's class, which the Rust side checks. */
export class Ai {
  #answers: Fetcher;

  constructor(answers: Fetcher) {
    this.#answers = answers;
  }

  /** A JSON answer becomes a value, any other a stream of bytes, an error status an exception, as on the platform. */
  async run(model: string, input: unknown): Promise<unknown> {
    const response = await this.#answers.fetch("http://ai/", {
      method: "POST",
      body: JSON.stringify({ model, input }),
    });
    if (!response.ok) throw Object.assign(new Error(await response.text()), { name: "InferenceUpstreamError" });
    const isJson = response.headers.get("content-type")?.includes("json");
    return isJson ? response.json() : response.body;
  }
}
