// Requests that came in and responses that go out, one call each.

/**
 * Method, URL, `body` or nothing, then the headers' names and values, a line each; none of them can hold a line break.
 * @param {Request} request
 */
export function describe(request) {
  let lines = `${request.method}\n${request.url}\n${request.body === null ? "" : "body"}`;
  request.headers.forEach((value, name) => {
    lines += `\n${name}\n${value}`;
  });
  return lines;
}

/**
 * @param {number} status
 * @param {string} headers names and values, a line each; no name twice
 * @param {Uint8Array | ReadableStream | null} body
 */
export function respond(status, headers, body) {
  const lines = headers === "" ? [] : headers.split("\n");
  /** @type {Record<string, string>} */
  const named = {};
  for (let line = 0; line < lines.length; line += 2) named[lines[line] ?? ""] = lines[line + 1] ?? "";
  return new Response(body, { status, headers: named });
}
