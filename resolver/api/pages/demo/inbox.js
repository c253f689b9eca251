// Browser inbox: Velt's structure, your resolver's content, one user at a time.

import { get, tokenFor, velt } from "./api.js";
import { sent } from "./compose.js";
import { byId, element, failed, json, once, options, say } from "./dom.js";
import { known, organizationName, PEOPLE } from "./people.js";
import { NotificationProvider, render } from "./provider.js";

const user = () => known(byId("user").value);
let shown = 0;
let drawn = "";

export function start() {
  options(byId("user"), PEOPLE.map(({ userId, name, organizationId }) => [
    userId, `${name}, ${organizationName(organizationId)}`,
  ]));
  byId("user").value = "ben";
  byId("user").addEventListener("change", async () => {
    say(`${user().name} is signed in.`);
    await show().catch(failed);
  });
}

function providerFor({ userId, organizationId }) {
  const headers = async () => ({ Authorization: `Bearer ${await tokenFor(userId, [organizationId])}` });
  const retry = { retryCount: 3, retryDelay: 500 };
  return new NotificationProvider({
    getConfig: { url: "/api/velt/notifications/get", headers },
    deleteConfig: { url: "/api/velt/notifications/delete", headers },
    resolveTimeout: 5000,
    getRetryConfig: retry,
    deleteRetryConfig: retry,
  });
}

export async function show() {
  const [who, turn] = [user(), (shown += 1)];
  const query = new URLSearchParams({ organizationId: who.organizationId, userId: who.userId });
  const { notifications } = await get(`/demo/feed?${query}`);
  const provider = providerFor(who);
  const hydrated = await provider.hydrate(notifications);
  const foreign = await asStranger(provider, who);
  if (turn !== shown) return hydrated; // somebody else has signed in meanwhile
  draw(hydrated, who);
  byId("inbox-note").textContent = note(hydrated, who);
  byId("asked").textContent = foreign ?? exchange(hydrated, who);
  return hydrated;
}

// Don't draw it again while it is the same: something in it may have the focus.
function draw(hydrated, who) {
  const now = JSON.stringify([who, hydrated]);
  if (now === drawn) return;
  drawn = now;
  byId("inbox").replaceChildren(...hydrated.map((one) => row(one, who)));
}

// A user of another organization who knows an id and asks for it.
async function asStranger(provider, who) {
  const [last] = sent;
  if (!last || last.organizationId === who.organizationId) return null;
  const request = { organizationId: last.organizationId, notificationIds: [last.notificationId] };
  const given = Object.keys(await provider.get(request));
  const why = `Asked by hand: the token names only ${who.organizationId}.`;
  return `${asked(request)}\n\ngiven: ${json(given)}\n\n${why}`;
}

function row(notification, who) {
  const item = element("li", { className: notification.isUnread && notification.forYou ? "unread" : "" });
  item.append(...(notification.isHydrated ? content(notification) : blank(who)));
  const textContent = new Date(notification.timestamp).toLocaleTimeString();
  item.append(element("p", { className: "when", textContent }));
  if (notification.isHydrated) item.append(...actions(notification, who));
  return item;
}

function content(one) {
  const headline = render(one.displayHeadlineMessageTemplate, one.displayHeadlineMessageTemplateData);
  return [
    element("h3", { textContent: headline || "(no headline)" }),
    element("p", { className: "body", textContent: one.displayBodyMessage ?? "" }),
    element("p", { className: "when", textContent: render("From {actionUser}", one) }),
  ];
}

const blank = ({ name }) => [
  element("h3", { className: "blank", textContent: "(blank)" }),
  element("p", { className: "note", textContent: `Not here, or not meant for ${name}: the resolver answers both alike.` }),
];

function actions(notification, who) {
  const read = button("Mark read", { disabled: !notification.isUnread });
  const remove = button("Delete");
  read.addEventListener("click", () => once(read, () => markRead(notification, who)));
  remove.addEventListener("click", () => once(remove, () => deleted(notification, who)));
  return [element("p", { className: "actions" }, read, " ", remove)];
}

const button = (textContent, state) => element("button", { type: "button", textContent, ...state });

// Read states belong to the structure, which is Velt's.
async function markRead({ id, metadata }, { userId, name }) {
  const entry = { id, readByUserIds: [userId] };
  const data = { organizationId: metadata.organizationId, notifications: [entry] };
  const { status, body } = await velt("update", data);
  if (status >= 300) throw new Error(body.error?.message ?? `HTTP ${status}`);
  const listed = await settled();
  const isUnread = listed.some((one) => one.id === id && one.isUnread);
  say(isUnread ? "Accepted. It stays unread until Velt can be reached." : `${name} has read it.`);
}

const UNTOLD = "Velt can’t be reached and still lists the row: Velt’s SDK would try again, this page doesn’t.";

// Delete the content first, and Velt's copy only after that has succeeded.
async function deleted({ id, metadata }, who) {
  const ids = { organizationId: metadata.organizationId, notificationId: id };
  await providerFor(who).delete(ids);
  const { deleted } = await get("/demo/velt/delete", ids);
  await settled();
  say(deleted ? "Deleted: by your resolver first, then by Velt." : `Your resolver has deleted its part. ${UNTOLD}`);
}

// The pressed button is removed: move the focus to a neighbour.
async function settled() {
  const listed = await show();
  byId("inbox").focus();
  return listed;
}

function note(hydrated, { name, organizationId }) {
  const where = organizationName(organizationId);
  if (!hydrated.length) return `Nothing for ${name}: Velt has nothing of ${where} to list.`;
  const withheld = hydrated.filter((one) => !one.isHydrated).length;
  if (!withheld) return "";
  return "Velt’s tabs Documents and All also list what was sent to others. Those rows stay blank.";
}

function exchange(hydrated, { organizationId }) {
  if (!hydrated.length) return "Nothing to ask for.";
  const ids = hydrated.map(({ id }) => id);
  const given = hydrated.filter((one) => one.isHydrated).map(({ id }) => id);
  return `${asked({ organizationId, notificationIds: ids })}\n\ngiven: ${json(given)}`;
}

const asked = (request) =>
  `POST /api/velt/notifications/get\nauthorization: Bearer ••••••••\n\n${json(request)}`;
