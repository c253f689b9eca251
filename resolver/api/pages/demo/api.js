// The calls of this page: the resolver's surfaces, as your backend calls them, and a few paths of the demo.

let credentials = {};

export async function ask(path, body, headers = {}, method = body === undefined ? "GET" : "POST") {
  const reply = await fetch(path, {
    method,
    headers: body === undefined ? headers : { "content-type": "application/json", ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return { status: reply.status, body: await reply.json() };
}

// Return the body; anything but success is an error.
export async function get(...call) {
  const { status, body } = await ask(...call);
  if (status >= 300) throw new Error(body.error?.message ?? body.message ?? `HTTP ${status}`);
  return body;
}

export async function start() {
  credentials = await get("/demo/credentials");
}

export const backendHeaders = () => ({
  "x-velt-api-key": credentials.apiKey,
  "x-velt-auth-token": credentials.callerToken,
});

const operatorHeaders = () => ({ authorization: `Bearer ${credentials.privacyToken}` });

export const velt = (path, data) => ask(`/v2/notifications/${path}`, { data }, backendHeaders());

export const erase = (userId) => get("/privacy/erase", { userIds: [userId] }, operatorHeaders());
export const erasure = (id) =>
  get(`/privacy/erasures/${encodeURIComponent(id)}`, undefined, operatorHeaders());

// Get a short-lived token for a signed-in user. In your application this calls your own backend, which calls the
// resolver.
const minted = new Map();

export async function tokenFor(userId, organizationIds) {
  const held = minted.get(userId);
  if (held && held.expiresAt - 30 > Date.now() / 1000) return held.token;
  const fresh = await get("/api/velt/token", { userId, organizationIds }, backendHeaders());
  minted.set(userId, fresh);
  return fresh.token;
}
