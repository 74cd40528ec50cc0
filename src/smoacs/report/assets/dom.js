// Shared by all parts: the data, elements of the page, numbers in words, and what is selected.

// An element of page.html, which is there.
const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

const data = JSON.parse(byId("data").textContent ?? "");
const column = Object.fromEntries(data.columns.map((c) => [c.key, c]));
const place = Object.fromEntries(data.keys.map((key, index) => [key, index]));
const targetsOf = (key) => data.targets.filter((target) => target.property === key);

// Names from the data only ever become text nodes or attributes, never markup.
function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}
const h = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const s = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

const get = (row, key) => (key in place ? data.rows[row][place[key]] : null);
const isNumber = (value) => typeof value === "number";

function numberText(value, digits) {
  if (!isNumber(value)) return "–";
  let text;
  if (digits !== null && digits !== undefined) text = value.toFixed(digits);
  else if (Number.isInteger(value) && Math.abs(value) < 1e6) text = String(value);
  else text = Number(value.toPrecision(4)).toString();
  if (Number(text) === 0) text = text.replace("-", "");
  return text.replace("-", "−");
}

function cellText(row, key) {
  const { kind, digits, std } = column[key];
  const value = get(row, key);
  if (kind === "flag") return value === null ? "–" : value ? "yes" : "no";
  if (kind !== "number") return value || "–";
  const spread = std ? get(row, std) : null;
  const text = numberText(value, digits);
  return isNumber(spread) && isNumber(value) ? `${text} ± ${numberText(spread, digits)}` : text;
}

const withUnit = (label, unit) => (unit ? `${label} (${unit})` : label);
const title = (key) => withUnit(column[key]?.label ?? key, column[key]?.unit ?? "");
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

// SrTiO3 with its digits as subscripts.
function formulaNode(formula) {
  const parts = String(formula).split(/(\d+)/).filter(Boolean);
  return h("span", { class: "formula" }, ...parts.map((p) => (/^\d/.test(p) ? h("sub", {}, p) : p)));
}

// Sr+2 as Sr²⁺; mixed states keep their number of atoms in brackets.
function statesNode(text) {
  const words = String(text || "").split(" ").filter(Boolean);
  const nodes = words.map((word) => {
    const match = /^([A-Z][a-z]?)([+-])(\d+)(.*)$/.exec(word);
    if (!match) return h("span", { class: "ion" }, word);
    const [, element, sign, size, rest] = match;
    const charge = `${size === "1" ? "" : size}${sign === "-" ? "−" : "+"}`;
    return h("span", { class: "ion" }, element, h("sup", {}, size === "0" ? "0" : charge), rest);
  });
  return h("span", { class: "ions" }, ...(nodes.length ? nodes : ["–"]));
}

// What the reader has chosen; parts that depend on it listen.
/** @type {{ row: number | null, visible: Set<number>, listeners: ((what: string) => void)[] }} */
const chosen = { row: null, visible: new Set(data.rows.keys()), listeners: [] };
const listen = (listener) => chosen.listeners.push(listener);
const tell = (what) => chosen.listeners.forEach((listener) => listener(what));
function select(row) {
  if (row === chosen.row) return;
  chosen.row = row;
  tell("row");
}

const tip = byId("tip");
function showTip(event, ...children) {
  tip.replaceChildren(...children);
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.min(event.clientX + 14, innerWidth - width - 8);
  const top = event.clientY + 18 + height > innerHeight ? event.clientY - height - 10 : event.clientY + 18;
  tip.style.left = `${left}px`;
  tip.style.top = `${top}px`;
}
const hideTip = () => {
  tip.hidden = true;
};
