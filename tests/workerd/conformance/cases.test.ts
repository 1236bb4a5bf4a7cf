// Every case that the Worker lists, by its own name.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { type Server, startServer } from "./server.ts";

let server: Server;
before(async () => {
  server = await startServer();
});
after(() => server.stop());

describe("conformance", () => {
  it("holds in every case", async (context) => {
    const names = (await (await fetch(server.url("/conformance"))).text()).split("\n");
    assert.ok(names.length > 100, `${names.length} cases are listed`);
    for (const name of names) {
      await context.test(name, async () => {
        const answer = await fetch(server.url(`/conformance/${name}`));
        assert.equal(await answer.text(), "holds");
      });
    }
  });
});
