// What one may try: an outage of Velt, the erasure of a person, other keys.

import { erase, erasure, get } from "./api.js";
import { forget } from "./compose.js";
import { byId, options, say } from "./dom.js";
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

// Once at a time, and said when it fails.
function pressed(id, action, refresh) {
  byId(id).addEventListener("click", async () => {
    if (byId(id).getAttribute("aria-busy") === "true") return;
    byId(id).setAttribute("aria-busy", "true");
    try {
      await action();
      await refresh();
    } catch (error) {
      say(`That didn’t work: ${error.message}`);
    } finally {
      byId(id).removeAttribute("aria-busy");
    }
  });
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
    await pause(500);
    state = await erasure(erasureId);
  }
  const { removed, cut } = state.counts;
  forget([
    `${name} is erased: ${removed} notifications are gone, ${cut} go on without them.`,
    "A signed certificate is kept.",
    "What is left is the id, in the sandbox’s list of what it was ever sent.",
  ].join(" "));
}

async function rotated() {
  const before = (await get("/demo/keys")).keys[0];
  say("Rotating: a new key opens first, then seals, then everything is put under it. This takes seconds.");
  await get("/demo/keys/rotate", {});
  while ((await get("/demo/keys")).rotating) await pause(500);
  const after = (await get("/demo/keys")).keys[0];
  const failed = "The keys are as they were: the terminal says why.";
  say(after === before ? failed : `Everything is sealed by ${after} now.`);
}
