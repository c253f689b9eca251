// Build elements from text only, never from markup: what is shown was written by strangers.

export const byId = (id) => document.getElementById(id);

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

export const json = (value) => JSON.stringify(value, null, 2);

// Scrolling bytes, reachable by keyboard and named for screen readers.
export function bytes(text, label) {
  const made = element("pre", { textContent: text, tabIndex: 0 });
  made.setAttribute("role", "group");
  made.setAttribute("aria-label", label);
  return made;
}

// A list of foldable items, the first one open. Items keep their state, and existing ones aren't drawn again:
// one may have the focus.
const chosen = new Map();

export function folded(parent, items, empty) {
  const keys = new Set(items.map(({ key }) => key));
  for (const child of [...parent.children]) if (!keys.has(child.dataset.key)) child.remove();
  items.forEach((item, place) => {
    const there = [...parent.children].find((child) => child.dataset.key === item.key) ?? foldable(item.key);
    if (parent.children[place] !== there) parent.insertBefore(there, parent.children[place] ?? null);
    update(there, item, chosen.get(item.key) ?? place === 0);
  });
  if (!items.length) parent.append(element("p", { className: "note", textContent: empty }));
}

function foldable(key) {
  const details = element("details", {}, element("summary"), bytes("", ""));
  details.dataset.key = key;
  details.firstChild.addEventListener("click", () => chosen.set(key, !details.open));
  return details;
}

function update(details, { title, text }, isOpen) {
  const [summary, content] = details.children;
  if (!content.matches(":focus")) details.open = isOpen;
  summary.textContent = title;
  content.textContent = text;
  content.setAttribute("aria-label", title);
}

// Unchanged while the options are the same: the list may be open.
export function options(select, choices) {
  const [before, offered] = [select.value, JSON.stringify(choices)];
  if (select.dataset.offered === offered) return;
  const made = choices.map(([value, textContent]) => element("option", { value, textContent }));
  select.replaceChildren(...made);
  if (choices.some(([value]) => value === before)) select.value = before;
  select.disabled = !choices.length;
  select.dataset.offered = offered;
}

// A new element each time, so that a screen reader announces a repeated text again.
export function say(text) {
  const at = element("span", { className: "when", textContent: `${new Date().toLocaleTimeString()} ` });
  byId("outcome").replaceChildren(at, element("span", { textContent: text }));
}

export const failed = (error) => say(`That didn’t work: ${error.message}`);

// Run once at a time, and report failures. Not `disabled`: that would remove the focus.
export async function once(button, action) {
  if (button.ariaDisabled === "true") return;
  button.ariaDisabled = "true";
  try {
    await action();
  } catch (error) {
    failed(error);
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

export const count = (number, one, many) => `${number} ${number === 1 ? one : many}`;
