// Elements without markup: whatever is shown was written by strangers, and goes in as text alone.

export const byId = (id) => document.getElementById(id);

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

export const json = (value) => JSON.stringify(value, null, 2);

// Bytes that scroll, reachable by keyboard and named for whoever doesn't see them.
export function bytes(text, label) {
  const made = element("pre", { textContent: text, tabIndex: 0 });
  made.setAttribute("role", "group");
  made.setAttribute("aria-label", label);
  return made;
}

// A list of things to fold out, the first one open; what somebody opened or closed stays so.
const chosen = new Map();

export function folded(parent, items, empty) {
  const made = items.map(({ key, title, text }, place) => {
    const details = element("details", { open: chosen.get(key) ?? place === 0 });
    const summary = element("summary", { textContent: title });
    summary.addEventListener("click", () => chosen.set(key, !details.open));
    details.append(summary, bytes(text, title));
    return details;
  });
  const nothing = element("p", { className: "note", textContent: empty });
  parent.replaceChildren(...(made.length ? made : [nothing]));
}

export function options(select, choices) {
  const before = select.value;
  const made = choices.map(([value, textContent]) => element("option", { value, textContent }));
  select.replaceChildren(...made);
  if (choices.some(([value]) => value === before)) select.value = before;
  select.disabled = !choices.length;
}

export const say = (text) => { byId("outcome").textContent = text; };
