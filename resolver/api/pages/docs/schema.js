// Render a JSON schema as a list: its type, then its properties.
import { element } from "./element.js";

export function described(schema) {
  const within = parts(schema);
  if (!within) return element("p", {}, kind(schema));
  return element("div", {}, element("p", {}, kind(schema)), within);
}

function parts(schema) {
  if (schema === null || typeof schema !== "object") return undefined;
  const rows = Object.entries(schema.properties ?? {}).map(([name, inner]) =>
    row(name, inner, (schema.required ?? []).includes(name)),
  );
  if (isObject(schema.additionalProperties)) rows.push(row("any other name", schema.additionalProperties));
  if (isObject(schema.items) && parts(schema.items)) rows.push(row("each", schema.items));
  for (const word of ["anyOf", "oneOf"]) {
    const choices = (schema[word] ?? []).filter((choice) => parts(choice));
    choices.forEach((choice, at) => rows.push(row(`form ${at + 1}`, choice)));
  }
  return rows.length ? element("ul", { class: "fields" }, ...rows) : undefined;
}

function row(name, schema, required = false) {
  const said = [element("code", {}, name), " ", element("span", { class: "quiet" }, kind(schema))];
  if (required) said.push(" ", element("span", { class: "needed" }, "required"));
  if (schema.description) said.push(" ", schema.description);
  const within = parts(schema);
  if (!within) return element("li", {}, ...said);
  return element("li", {}, element("details", {}, element("summary", {}, ...said), within));
}

function isObject(value) {
  return value !== null && typeof value === "object";
}

// Describe a schema briefly: type and limits.
export function kind(schema) {
  if (schema === true) return "anything";
  if (schema === false) return "not allowed";
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  return [type(schema), ...bounds(schema)].join(", ");
}

function type(schema) {
  if (Array.isArray(schema.type)) return schema.type.join(" or ");
  if (schema.type === "array" && isObject(schema.items)) return `list of ${kind(schema.items)}`;
  if (schema.type) return schema.type;
  const choices = schema.anyOf ?? schema.oneOf;
  return choices ? choices.map(kind).join(", or ") : schema.properties ? "object" : "anything";
}

function bounds(schema) {
  const range = (low, high, what) => {
    if (low === undefined && high === undefined) return undefined;
    if (high === undefined) return `at least ${low}${what}`;
    return low === undefined ? `at most ${high}${what}` : `${low} to ${high}${what}`;
  };
  return [
    range(schema.minLength, schema.maxLength, " characters"),
    range(schema.minItems, schema.maxItems, " items"),
    range(schema.minProperties, schema.maxProperties, " entries"),
    range(schema.minimum, schema.maximum, ""),
    schema["x-pattern-description"] ?? (schema.pattern && `matching ${printable(schema.pattern)}`),
  ].filter(Boolean);
}

// Show control characters by their numbers: they are invisible otherwise.
function printable(pattern) {
  return pattern.replace(/[^\x20-\x7e]/gu, (sign) => `\\u{${sign.codePointAt(0).toString(16)}}`);
}
