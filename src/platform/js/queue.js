// The queue that carries runs on.

/**
 * @param {Queue} queue
 * @param {string} messageJson sent as an object, which the dashboard can show
 */
export async function send(queue, messageJson) {
  await queue.send(JSON.parse(messageJson));
}
