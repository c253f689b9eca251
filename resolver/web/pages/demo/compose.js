// Your backend: composes a notification, and shows exactly what was sent and answered.

import { backendHeaders, velt } from "./api.js";
import { byId, element, json, options, say } from "./dom.js";
import { asUser, known, of, ORGANIZATIONS } from "./people.js";

// What this page has sent: { organizationId, notificationId, label, pieces }.
export const sent = [];

export function start(onSent) {
  options(byId("organization"), ORGANIZATIONS);
  byId("organization").addEventListener("change", offerPeople);
  byId("actor").addEventListener("change", offerRecipients);
  byId("everyone").addEventListener("change", offerRecipients);
  byId("compose").addEventListener("submit", async (event) => {
    event.preventDefault();
    await send(composed(), onSent).catch((error) => say(`That didn’t work: ${error.message}`));
  });
  offerPeople();
}

function offerPeople() {
  options(byId("actor"), of(byId("organization").value).map(({ userId, name }) => [userId, name]));
  offerRecipients();
}

function offerRecipients() {
  const others = of(byId("organization").value).filter(({ userId }) => userId !== byId("actor").value);
  const everyone = byId("everyone").checked;
  byId("recipients").replaceChildren(...others.map(({ userId, name }, place) => {
    const state = { checked: !everyone && place === 0, disabled: everyone };
    const box = element("input", { type: "checkbox", name: "to", value: userId, ...state });
    return element("label", { className: "choice" }, box, ` ${name}`);
  }));
}

function composed() {
  const boxes = [...document.querySelectorAll("input[name=to]:checked")];
  const actionUser = asUser(known(byId("actor").value));
  return {
    organizationId: byId("organization").value,
    documentId: "report-7",
    actionUser,
    notifyUsers: boxes.map((box) => asUser(known(box.value))),
    notifyAll: byId("everyone").checked,
    displayHeadlineMessageTemplate: byId("headline").value,
    displayHeadlineMessageTemplateData: { actionUser },
    displayBodyMessage: byId("text").value,
  };
}

async function send(data, onSent) {
  if (!data.notifyAll && !data.notifyUsers.length) {
    say("Choose somebody to send it to, or everyone.");
    return;
  }
  const { status, body } = await velt("add", data);
  byId("exchange").hidden = false;
  byId("request").textContent = shown(data);
  byId("reply").textContent = `HTTP ${status}\n\n${json(body)}`;
  const added = body.result?.data;
  if (!added?.notificationId) {
    tell("waiting", "Refused. The reply says why.");
    say("The resolver refused it.");
    return;
  }
  sent.unshift({ ...identity(data, added), label: data.displayBodyMessage, pieces: pieces(data) });
  showRegistration(added.registration === "registered");
  onSent(sent[0]);
}

const identity = ({ organizationId }, { notificationId }) => ({ organizationId, notificationId });

// `registered`: Velt was told. `pending`: it can't be reached, and is told later.
export function showRegistration(isRegistered) {
  const text = isRegistered ? "registered: Velt has been told" : "pending: Velt is told as soon as it can be";
  if (byId("registration").textContent === text) return;
  tell(isRegistered ? "good" : "waiting", text);
  say(isRegistered ? "Velt has been told of it." : "Accepted. Velt can’t be reached: it will be told.");
}

function tell(kind, text) {
  byId("registration").className = `verdict ${kind}`;
  byId("registration").textContent = text;
}

// What was shown here may name somebody who was erased.
export function forget(text) {
  sent.length = 0;
  byId("exchange").hidden = true;
  for (const id of ["request", "reply", "registration"]) byId(id).textContent = "";
  say(text);
}

function shown(data) {
  const headers = Object.keys(backendHeaders()).map((name) => `${name}: ••••••••`);
  const lines = ["POST /v2/notifications/add", "content-type: application/json", ...headers];
  return [...lines, "", json({ data })].join("\n");
}

// Everything in it that Velt must not have.
function pieces({ actionUser, notifyUsers, displayHeadlineMessageTemplate, displayBodyMessage }) {
  const people = [actionUser, ...notifyUsers].flatMap(({ name, email }) => [name, email]);
  return [displayHeadlineMessageTemplate, displayBodyMessage, ...people].filter((piece) => piece.trim());
}
