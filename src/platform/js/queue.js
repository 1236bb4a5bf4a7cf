// The queue that carries runs and jobs on.

/**
 * @param {Queue} queue
 * @param {string} messagesJson a list; each is sent as an object, which the dashboard can show
 * @param {number} delaySeconds
 */
export async function send(queue, messagesJson, delaySeconds) {
  /** @type {unknown[]} */
  const messages = JSON.parse(messagesJson);
  const options = delaySeconds === 0 ? undefined : { delaySeconds };
  if (messages.length === 1) await queue.send(messages[0], options);
  else if (messages.length > 1) await queue.sendBatch(messages.map((body) => ({ body })), options);
}
