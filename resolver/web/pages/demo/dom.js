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

// A list of things to fold out, the first one open. What somebody folded stays so while it is shown.
export function folded(parent, items, empty) {
  const open = new Map([...parent.children].map((child) => [child.dataset.key, child.open]));
  const made = items.map(({ key, title, text }, place) => {
    const details = element("details", { open: open.get(key) ?? place === 0 });
    details.dataset.key = key;
    details.append(element("summary", { textContent: title }), bytes(text, title));
    return details;
  });
  parent.replaceChildren(...(made.length ? made : [element("p", { className: "note", textContent: empty })]));
}

export function options(select, choices) {
  const before = select.value;
  select.replaceChildren(...choices.map(([value, label]) => element("option", { value, textContent: label })));
  if (choices.some(([value]) => value === before)) select.value = before;
}

export const say = (text) => { byId("outcome").textContent = text; };
