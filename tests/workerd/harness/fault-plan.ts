// What the tests say to the fault injection in workerd, and what it answers. Types only: both sides import them.

/** Which calls of a binding go wrong, and how. */
export type Fault = {
  /** Name of the binding in `env`. */
  binding: string;
  /** `get`, `put`, `first`, `run`, `batch`, `send`, ...; any method when absent. */
  method?: string;
  /** Only calls whose key, SQL or message contains this text. */
  matching?: string;
  /** The first call to fail among those that fit, counted from 1 since the fault was set; 1 when absent. */
  call?: number;
  /** Whether every later call that fits goes wrong too; only the one when absent. */
  persistent?: boolean;
  /**
   * - `before`: throws and the call never happens.
   * - `after`: the call takes effect, then throws: its answer is lost.
   * - `hang`: does not go ahead until the faults are cleared, then does.
   */
  when: "before" | "after" | "hang";
  /** The error's text; one like the platform's own when absent. */
  message?: string;
};

/** One call the Worker made to a binding. */
export type Call = {
  binding: string;
  method: string;
  /** The object's key, the SQL, the model, or a queue's message as JSON; those of a batch or a list of keys joined by newlines. */
  subject: string;
  /** `held` while a `hang` fault keeps it. */
  outcome: "pending" | "held" | "ok" | "failed";
  /** What D1 reported; absent for other bindings and for `raw`. */
  rowsRead?: number;
  rowsWritten?: number;
};
