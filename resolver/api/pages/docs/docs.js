import { curl } from "./curl.js";
import { element } from "./element.js";
import { described, kind } from "./schema.js";

const byId = (id) => document.getElementById(id);
const search = byId("search");
const say = (text) => byId("status").replaceChildren(text);

const shown = [];

start().catch(() => say("The description could not be read. Reload the page, or look at openapi.json."));

async function start() {
  const description = await (await fetch("openapi.json")).json();
  byId("title").replaceChildren(`${description.info.title} ${description.info.version}`);
  byId("about").replaceChildren(description.info.description);
  for (const [tag, operations] of byTag(description)) show(tag, operations, description);
  search.addEventListener("input", narrow);
  document.addEventListener("keydown", shortcuts);
  window.addEventListener("hashchange", openLinked);
  narrow();
  openLinked();
}

function byTag(description) {
  const tags = new Map();
  for (const [path, item] of Object.entries(description.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const tag = operation.tags[0];
      tags.set(tag, [...(tags.get(tag) ?? []), { path, method: method.toUpperCase(), operation }]);
    }
  }
  return tags;
}

function show(tag, operations, description) {
  const section = element("section", {}, element("h2", { class: "tag" }, tag));
  const list = element("ul");
  for (const one of operations) {
    const id = one.operation.operationId;
    const article = card(one, description);
    const entry = element("li", {}, element("a", { href: `#${id}` }, one.operation.summary));
    section.append(article);
    list.append(entry);
    const words = [tag, one.method, one.path, id, one.operation.summary].join(" ").toLowerCase();
    shown.push({ article, entry, words, text: article.textContent.toLowerCase() });
  }
  const heading = element("h2", {}, tag);
  byId("operations").append(section);
  byId("contents").append(element("div", {}, heading, list));
}

function card(one, description) {
  const { path, method, operation } = one;
  const title = element("h3", {}, element("span", { class: "method" }, method), " ",
    element("span", { class: "path" }, path), " ", element("span", { class: "quiet" }, operation.summary));
  const inside = element("div", { class: "inside" },
    element("p", {}, element("a", { href: `#${operation.operationId}` }, `Link to ${operation.operationId}`)),
    operation.description ? element("p", {}, operation.description) : "",
    ...credentials(operation, description),
    ...parameters(operation),
    ...request(operation),
    ...responses(operation),
    ...command(one),
  );
  return element("article", { id: operation.operationId },
    element("details", {}, element("summary", {}, title), inside));
}

function credentials(operation, { components: { securitySchemes } }) {
  const spelt = (name) => {
    const scheme = securitySchemes[name];
    const where = scheme.type === "http" ? "authorization: Bearer …" : scheme.name;
    return element("li", {}, element("code", {}, where), " ", scheme.description);
  };
  const ways = operation.security.map((way) => element("ul", {}, ...Object.keys(way).map(spelt)));
  if (!ways.length) return [element("h4", {}, "Credential"), element("p", {}, "None.")];
  const separated = ways.flatMap((way, at) => (at ? [element("p", {}, "or"), way] : [way]));
  return [element("h4", {}, "Credential"), ...separated];
}

function parameters({ parameters: given = [] }) {
  if (!given.length) return [];
  const rows = given.map(({ name, description = "", schema, ...rest }) =>
    element("li", {}, element("code", {}, name), ` in the ${rest.in}, ${kind(schema)}. ${description}`));
  return [element("h4", {}, "Parameters"), element("ul", { class: "fields" }, ...rows)];
}

function request({ requestBody }) {
  if (!requestBody) return [];
  return [element("h4", {}, `Request${requestBody.required ? "" : " (may be left out)"}`), ...messages(requestBody)];
}

function responses({ responses: all }) {
  const cards = Object.entries(all).map(([status, answer]) =>
    element("details", { open: status.startsWith("2") },
      element("summary", {}, element("code", {}, status), ` ${answer.description}`), ...messages(answer)));
  return [element("h4", {}, "Replies"), ...cards];
}

function messages({ content }) {
  return Object.entries(content).flatMap(([type, { schema, example }]) => [
    element("p", { class: "quiet" }, type),
    described(schema),
    ...(example === undefined ? [] : [sample(example)]),
  ]);
}

function sample(example) {
  const text = typeof example === "string" ? example : JSON.stringify(example, null, 2);
  return element("pre", { tabindex: "0", "aria-label": "Example" }, text);
}

function command(one) {
  const text = curl(location.origin, one);
  const block = element("pre", { tabindex: "0", "aria-label": "curl command" }, text);
  const button = element("button", { type: "button" }, "Copy curl");
  button.addEventListener("click", () => copy(text, block, button));
  return [element("h4", {}, "Try it"), block, button];
}

async function copy(text, block, button) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.");
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy curl"; }, 2000);
  } catch {
    // If the page may not write to the clipboard, select the text for the user.
    getSelection().selectAllChildren(block);
    say("Selected: copy it with your keyboard.");
  }
}

function narrow() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const within = (place) => shown.filter((one) => words.every((word) => one[place].includes(word)));
  // Search names first; if none matches, search all texts.
  const found = within("words").length ? within("words") : within("text");
  for (const one of shown) one.article.hidden = one.entry.hidden = !found.includes(one);
  for (const part of [...byId("operations").children, ...byId("contents").children]) {
    part.hidden = !part.querySelector(":scope > article:not([hidden]), :scope > ul > li:not([hidden])");
  }
  say(found.length ? `${found.length} of ${shown.length} operations` : "Nothing found in paths, fields or replies.");
}

function shortcuts(event) {
  if (event.key === "/" && document.activeElement !== search) {
    event.preventDefault();
    search.focus();
  } else if (event.key === "Escape" && search.value) {
    search.value = "";
    narrow();
  }
}

function openLinked() {
  const one = shown.find(({ article }) => article.id === location.hash.slice(1));
  if (!one) return;
  if (one.article.hidden) {
    search.value = "";
    narrow();
  }
  const details = one.article.querySelector("details");
  details.open = true;
  details.querySelector("summary").focus({ preventScroll: true });
  one.article.scrollIntoView();
}
