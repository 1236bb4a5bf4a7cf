// Requests that came in and responses that go out, one call each.

/**
 * Method, URL, `body` or nothing, then the headers' names and values, a line each; none of them can hold a line break.
 * @param {Request} request
 */
export function describe(request) {
  const body = request.body === null ? "" : "body";
  return [request.method, request.url, body, ...[...request.headers].flat()].join("\n");
}

/**
 * @param {number} status
 * @param {string} headers names and values, a line each
 * @param {Uint8Array | ReadableStream | null} body
 */
export function respond(status, headers, body) {
  const lines = headers === "" ? [] : headers.split("\n");
  const pairs = new Headers();
  for (let line = 0; line < lines.length; line += 2) pairs.append(lines[line] ?? "", lines[line + 1] ?? "");
  return new Response(body, { status, headers: pairs });
}
