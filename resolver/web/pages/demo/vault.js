// Your Redis holds: one notification's key and sealed bytes, and what they open to.

import { get } from "./api.js";
import { byId, json, options } from "./dom.js";

const name = ({ organizationId, notificationId }) => JSON.stringify([organizationId, notificationId]);
let isOpen = false;

export function start() {
  byId("chosen").addEventListener("change", show);
  byId("open").addEventListener("click", async () => {
    isOpen = !isOpen;
    await show();
  });
}

// Those that this page sent, then those that Velt has of earlier.
export function offer(sent, notifications) {
  const earlier = notifications.map(({ id, organizationId }) => ({ notificationId: id, organizationId }));
  const choices = new Map([...sent, ...earlier].map((one) => [name(one), one.notificationId]));
  options(byId("chosen"), [...choices]);
}

export function choose(one) {
  byId("chosen").value = name(one);
}

export async function show() {
  const chosen = byId("chosen").value;
  const [organizationId, notificationId] = chosen ? JSON.parse(chosen) : [];
  const ids = { organizationId, notificationId };
  const { keyName, sealed, length, keyId } = chosen ? await get("/demo/stored", ids) : {};
  const opened = sealed && isOpen ? (await get("/demo/opened", ids)).opened : null;
  if (byId("chosen").value !== chosen) return;
  byId("stored").hidden = !sealed;
  byId("held").textContent = sealed ? "" : chosen ? "Nothing under this id." : "Nothing yet.";
  byId("key-name").textContent = sealed ? keyName : "";
  byId("key-id").textContent = sealed ? keyId : "";
  byId("length").textContent = sealed ? `${length} bytes` : "";
  byId("sealed").textContent = sealed ? sealed.replace(/(.{8})/g, "$1 ") : "";
  byId("opened").hidden = !opened;
  byId("opened").textContent = opened ? json(opened) : "";
  byId("open").textContent = isOpen ? "Close it" : "Open it";
  byId("open").setAttribute("aria-expanded", String(isOpen));
}
