// The pane "Your backend": composes a notification, and shows the request and the reply.

import { backendHeaders, velt } from "./api.js";
import { byId, element, json, once, options, say } from "./dom.js";
import { asUser, known, of, organizationName, ORGANIZATIONS } from "./people.js";

// Notifications that this page has sent: { organizationId, notificationId, label, pieces }.
export const sent = [];

export function start(onSent) {
  options(byId("organization"), ORGANIZATIONS);
  byId("organization").addEventListener("change", offerPeople);
  byId("actor").addEventListener("change", offerRecipients);
  byId("everyone").addEventListener("change", offerRecipients);
  byId("compose").addEventListener("submit", (event) => {
    event.preventDefault();
    once(byId("send"), () => send(composed(), onSent));
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

function lacking({ notifyAll, notifyUsers, displayHeadlineMessageTemplate, displayBodyMessage }) {
  if (!notifyAll && !notifyUsers.length) return "Choose at least one recipient, or everyone.";
  if (!displayHeadlineMessageTemplate.trim()) return "Not sent: write a headline template.";
  return displayBodyMessage.trim() ? "" : "Not sent: write a text.";
}

async function send(data, onSent) {
  const lack = lacking(data);
  if (lack) return say(lack);
  const { status, body } = await velt("add", data);
  byId("exchange").hidden = false;
  byId("request").textContent = shown(data);
  byId("reply").textContent = `HTTP ${status}\n\n${json(body)}`;
  const added = body.result?.data;
  if (!added?.notificationId) {
    tell("waiting", "Refused. The reply says why.");
    return say("The resolver refused it.");
  }
  sent.unshift({ ...identity(data, added), label: data.displayBodyMessage, pieces: pieces(data) });
  showRegistration(added.registration === "registered");
  say(`Accepted, ${byId("registration").textContent}.${whereItShows(data)}`);
  await onSent(sent[0]);
}

function whereItShows({ organizationId }) {
  const { name, organizationId: own } = known(byId("user").value);
  if (own === organizationId) return "";
  return ` ${name} isn’t of ${organizationName(organizationId)}: it isn’t in the inbox that is shown.`;
}

const identity = ({ organizationId }, { notificationId }) => ({ organizationId, notificationId });

// `registered`: Velt has it. `pending`: Velt can't be reached, and the command is queued.
function showRegistration(isRegistered) {
  const text = isRegistered ? "registered: Velt has received it" : "pending: Velt gets it as soon as it can be reached";
  tell(isRegistered ? "good" : "waiting", text);
}

// Called when Velt has the notification that was sent last.
export function sentNow() {
  if (byId("registration").className.endsWith("good")) return;
  showRegistration(true);
  say("Velt has received the queued commands.");
}

function tell(kind, text) {
  byId("registration").className = `verdict ${kind}`;
  byId("registration").textContent = text;
}

// Clear the pane: it may name a person who was erased.
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

// List every text in it that Velt must not get.
function pieces({ actionUser, notifyUsers, displayHeadlineMessageTemplate, displayBodyMessage }) {
  const people = [actionUser, ...notifyUsers].flatMap(({ name, email }) => [name, email]);
  return [displayHeadlineMessageTemplate, displayBodyMessage, ...people].filter((piece) => piece.trim());
}
