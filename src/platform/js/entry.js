// The Worker's handlers as functions. Of the class that worker-build makes, workerd would make an object for each event, behind a proxy
// that starts wasm anew after a panic. Here one such object does, and each call names the environment and the context of its event.
import codecs from "./codecs.wasm";
import Worker from "worker-build";

// A module alone costs no memory to speak of: codecs.js instantiates it.
Object.defineProperty(globalThis, "stillstoreCodecs", { value: codecs });

const worker = new Worker({}, {});

/** @satisfies {ExportedHandler} */
export default {
  /**
   * @param {Request} request
   * @param {unknown} env
   * @param {ExecutionContext} ctx
   */
  fetch: (request, env, ctx) => worker.fetch.call({ env, ctx }, request),

  /**
   * @param {MessageBatch} batch
   * @param {unknown} env
   * @param {ExecutionContext} ctx
   */
  queue: (batch, env, ctx) => worker.queue.call({ env, ctx }, batch),

  /**
   * @param {ScheduledController} controller
   * @param {unknown} env
   * @param {ExecutionContext} ctx
   */
  scheduled: (controller, env, ctx) => worker.scheduled.call({ env, ctx }, controller),
};
