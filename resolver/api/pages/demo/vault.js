// The pane "Your Redis holds": one notification's key, sealed bytes and opened content.

import { get } from "./api.js";
import { byId, element, failed, json, once, options, say } from "./dom.js";

const name = ({ organizationId, notificationId }) => JSON.stringify([organizationId, notificationId]);
let isOpen = false;
let atVelt = { notifications: [], stored: 0, out: false };

export function start() {
  byId("chosen").addEventListener("change", () => show().catch(failed));
  byId("open").addEventListener("click", () => once(byId("open"), async () => {
    isOpen = !isOpen;
    await show();
    say(isOpen ? "Opened with your master key. The audit trail says so." : "Closed.");
  }));
}

// List what Redis holds, newest first, then what this page sent and Redis no longer holds.
export function offer(held, sent, velt) {
  atVelt = velt;
  options(byId("chosen"), [...new Map([...held, ...sent].map(choice))]);
}

const choice = (one) => [name(one), one.notificationId];

export function choose(one) {
  if (![...byId("chosen").options].some(({ value }) => value === name(one))) {
    const [value, textContent] = choice(one);
    byId("chosen").prepend(element("option", { value, textContent }));
  }
  byId("chosen").value = name(one);
}

// Only say so if everything that Velt holds is shown.
function unknownToVelt(organizationId, notificationId) {
  const { notifications, stored, out } = atVelt;
  const isThere = notifications.some((one) => one.id === notificationId && one.organizationId === organizationId);
  if (isThere || stored > notifications.length) return "";
  if (out) return "Velt holds nothing of it, and can’t be reached at the moment.";
  return "Velt’s sandbox holds nothing of it: it forgets everything when it ends. Your Redis doesn’t.";
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
  byId("held-note").textContent = sealed ? unknownToVelt(organizationId, notificationId) : "";
  byId("key-name").textContent = sealed ? keyName : "";
  byId("key-id").textContent = sealed ? keyId : "";
  byId("length").textContent = sealed ? `${length} bytes` : "";
  byId("sealed").textContent = sealed ? sealed.replace(/(.{8})/g, "$1 ") : "";
  byId("opened").hidden = !opened;
  byId("opened").textContent = opened ? json(opened) : "";
  byId("open").textContent = isOpen ? "Close it" : "Open it";
  byId("open").setAttribute("aria-expanded", String(isOpen));
}
