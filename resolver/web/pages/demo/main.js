// The demo page: four panes, looked after once a second and a half while somebody looks.

import { get, start as signIn } from "./api.js";
import * as compose from "./compose.js";
import * as controls from "./controls.js";
import { say } from "./dom.js";
import * as inbox from "./inbox.js";
import * as vault from "./vault.js";
import * as velt from "./velt.js";

const EVERY_MS = 1500;
let seen = "";
let isAway = false;

async function refresh() {
  seen = "";
  await look();
}

// The panes are drawn anew only when something has changed at Velt: a reader isn't disturbed otherwise.
async function look() {
  const found = await get("/demo/velt");
  controls.showOutage(found.out);
  const last = compose.sent[0];
  const isTold = last && found.notifications.some(({ id }) => id === last.notificationId);
  if (isTold) compose.showRegistration(true);
  const now = JSON.stringify([found, compose.sent.length]);
  if (now === seen) return;
  seen = now;
  velt.show(found, compose.sent);
  vault.offer(compose.sent, found.notifications);
  await Promise.all([vault.show(), inbox.show()]);
}

async function keepLooking() {
  try {
    if (!document.hidden) await look();
    if (isAway) say("The resolver answers again.");
    isAway = false;
  } catch {
    isAway = true;
    say("The resolver doesn’t answer at the moment. Trying again.");
  }
  setTimeout(keepLooking, EVERY_MS);
}

async function sent(notification) {
  vault.offer(compose.sent, []);
  vault.choose(notification);
  await refresh();
}

compose.start(sent);
vault.start();
inbox.start();
controls.start(refresh);
await signIn();
await keepLooking();
