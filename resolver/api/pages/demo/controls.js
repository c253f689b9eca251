// The controls: an outage of Velt, the erasure of a person, the rotation of keys.

import { erase, erasure, get } from "./api.js";
import { forget } from "./compose.js";
import { byId, count, once, options, say } from "./dom.js";
import { known, PEOPLE } from "./people.js";

let isOut = false;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

export function start(refresh) {
  options(byId("erased"), PEOPLE.map(({ userId, name }) => [userId, name]));
  byId("erased").value = "ben";
  pressed("outage", outage, refresh);
  pressed("erase", () => erased(known(byId("erased").value)), refresh);
  pressed("rotate", rotated, refresh);
}

function pressed(id, action, refresh) {
  byId(id).addEventListener("click", () => once(byId(id), async () => {
    await action();
    await refresh();
  }));
}

export function showOutage(out) {
  isOut = out;
  byId("outage").textContent = out ? "End the outage" : "Start a Velt outage";
}

async function outage() {
  const { out } = await get("/demo/outage", { out: !isOut });
  showOutage(out);
  const began = "Velt is out. Send another notification: it is still accepted.";
  say(out ? began : "Velt is back, and gets the queued commands.");
}

async function erased({ userId, name }) {
  say(`Erasing ${name} …`);
  const { erasureId } = await erase(userId);
  let state = await erasure(erasureId);
  while (state.status !== "done") {
    if (state.status === "telling" && isOut) waitsForVelt(name);
    await pause(500);
    state = await erasure(erasureId);
  }
  const removed = count(state.counts.removed, "notification is", "notifications are");
  const cut = count(state.counts.cut, "goes", "go");
  forget([
    `${name} is erased: ${removed} gone, ${cut} on without this person.`,
    "A signed erasure certificate is kept.",
    "Only the id is left, in the sandbox’s list of everything it was sent.",
  ].join(" "));
}

function waitsForVelt(name) {
  const text = `The content is gone from your Redis. The erasure of ${name} ends when Velt can be reached.`;
  if (!byId("outcome").textContent.endsWith(text)) forget(text);
}

// Show what was started before this page was loaded.
export async function underWay() {
  if ((await get("/demo/keys")).rotating) return once(byId("rotate"), followed);
  if (isOut) say("Velt is out. What you send is still accepted.");
}

async function followed() {
  say("The keys are being rotated.");
  say(`The rotation is done: ${await sealingAfterwards()} seals now.`);
}

async function sealingAfterwards() {
  let found = await get("/demo/keys");
  while (found.rotating) {
    await pause(500);
    found = await get("/demo/keys");
  }
  return found.keys[0];
}

async function rotated() {
  const before = (await get("/demo/keys")).keys[0];
  say("Rotating: a new key opens first, then seals, then everything is sealed with it. This takes seconds.");
  await get("/demo/keys/rotate", {});
  const after = await sealingAfterwards();
  const failed = "The keys are unchanged: the terminal says why.";
  say(after === before ? failed : `Everything is sealed by ${after} now.`);
}
