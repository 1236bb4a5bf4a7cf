import { useState } from "preact/hooks";

import { setToken } from "./api/token.ts";
import { ProblemNote } from "./parts/problem.tsx";

export function SignIn({ error, onToken }: { error: unknown; onToken: () => void }) {
  const [given, setGiven] = useState("");
  const submit = (event: Event) => {
    event.preventDefault();
    setToken(given.trim());
    onToken();
  };
  return (
    <form class="card narrow" onSubmit={submit}>
      <h1>Sign in</h1>
      {error !== undefined && <ProblemNote error={error} />}
      <label>
        Token
        <input
          type="password"
          autocomplete="current-password"
          required
          value={given}
          onInput={(event) => setGiven(event.currentTarget.value)}
          aria-describedby="token-hint"
        />
      </label>
      <p class="fine" id="token-hint">
        The Worker's <code>API_TOKEN</code>, or a user's token. It stays in this tab, and is forgotten when the tab is closed.
      </p>
      <div class="row end">
        <button class="main">Sign in</button>
      </div>
    </form>
  );
}
