// The demo page: four panes, refreshed every 1.5 s while the page is visible.

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

// Draw the panes again only when something has changed, so that a reader isn't disturbed.
async function look() {
  const [found, { held }] = await Promise.all([get("/demo/velt"), get("/demo/held")]);
  controls.showOutage(found.out);
  const last = compose.sent[0];
  const isSent = last && found.notifications.some(({ id }) => id === last.notificationId);
  if (isSent) compose.sentNow();
  const now = JSON.stringify([found, held, compose.sent.length]);
  if (now === seen) return;
  seen = now;
  velt.show(found, compose.sent);
  vault.offer(held, compose.sent, found);
  await Promise.all([vault.show(), inbox.show()]);
}

async function keepLooking() {
  try {
    if (!document.hidden) await look();
    if (isAway) say("The resolver answers again.");
    isAway = false;
  } catch {
    if (!isAway) say("The resolver doesn’t answer at the moment. Trying again.");
    isAway = true;
  }
  setTimeout(keepLooking, EVERY_MS);
}

async function sent(notification) {
  vault.choose(notification);
  await refresh();
}

compose.start(sent);
vault.start();
inbox.start();
controls.start(refresh);
await signIn();
await keepLooking();
await controls.underWay();
