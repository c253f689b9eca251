// The pane "Velt holds": the sandbox's records and ledger, searched for content that must not be there.

import { byId, folded, json } from "./dom.js";

const time = (at) => new Date(at).toLocaleTimeString();

export function show({ notifications, ledger, requests, out }, sent) {
  folded(byId("velt-records"), notifications.map((record) => ({
    key: `record ${record.organizationId}/${record.id}/${record.timestamp}`,
    title: record.id,
    text: json(record),
  })), "Nothing.");
  folded(byId("velt-ledger"), ledger.map((entry, place) => ({
    key: `request ${requests - place}`,
    title: `${entry.path} → ${entry.status ?? "no answer"}, ${time(entry.at)}`,
    text: entry.raw,
  })), "Nothing.");
  const found = leaked(notifications, ledger, sent);
  const state = byId("velt-state");
  state.className = `verdict ${out || found ? "waiting" : "good"}`;
  state.textContent = found || `${out ? "Outage: it answers 503 to everything. " : ""}${searched(sent)}`;
}

// Report the number, never the content: this pane must not hold any of it.
function leaked(notifications, ledger, sent) {
  const held = json(notifications) + ledger.map((entry) => entry.raw).join("\n");
  const found = contents(sent).filter((piece) => held.includes(JSON.stringify(piece).slice(1, -1)));
  return found.length ? `${found.length} pieces of your content are below. This must not be.` : "";
}

function searched(sent) {
  const count = contents(sent).length;
  return count ? `Ids only: of ${count} texts, names and addresses that you sent, none is below.` : "";
}

const contents = (sent) => [...new Set(sent.flatMap(({ pieces }) => pieces))];
