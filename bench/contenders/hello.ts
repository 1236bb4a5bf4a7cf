// The smallest Worker there is.
export default {
  fetch(): Response {
    return new Response("hello");
  },
};
