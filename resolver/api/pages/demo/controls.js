// What one may try: an outage of Velt, the erasure of a person, other keys.

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
  say(out ? "Velt is out. Send another: it is accepted all the same." : "Velt is back, and told what waits.");
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
    "A signed certificate is kept.",
    "What is left is the id, in the sandbox’s list of what it was ever sent.",
  ].join(" "));
}

function waitsForVelt(name) {
  const text = `The content is gone from your Redis. The erasure of ${name} is over once Velt can be told.`;
  if (!byId("outcome").textContent.endsWith(text)) forget(text);
}

// What was begun before this page was loaded.
export async function underWay() {
  if ((await get("/demo/keys")).rotating) return once(byId("rotate"), followed);
  if (isOut) say("A Velt outage is under way. What you send is accepted all the same.");
}

async function followed() {
  say("A rotation of the keys is under way.");
  say(`The rotation is over: ${await sealingAfterwards()} seals now.`);
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
  say("Rotating: a new key opens first, then seals, then everything is put under it. This takes seconds.");
  await get("/demo/keys/rotate", {});
  const after = await sealingAfterwards();
  const failed = "The keys are as they were: the terminal says why.";
  say(after === before ? failed : `Everything is sealed by ${after} now.`);
}
