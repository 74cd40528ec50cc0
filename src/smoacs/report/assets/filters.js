// Which candidates are shown: words, ticks, and a filter for each column.

const wishes = { words: "", success: false, distinct: false, columns: {} };

// Everything that words can find in a row.
const haystacks = data.rows.map((_, row) =>
  data.columns
    .filter((c) => c.kind === "text")
    .map((c) => get(row, c.key))
    .join("\n")
    .toLowerCase(),
);

// `A=Tl`: Tl on a site of kind A; `=Tl`: Tl anywhere. Element symbols count as written.
function hasElement(row, site, symbol) {
  const crystal = data.crystals[row];
  const kind = data.species.indexOf(symbol);
  if (!crystal || kind < 0) return false;
  return crystal.kinds.some((k, atom) => k === kind && (!site || data.sites[crystal.places[atom]] === site));
}

function fitsWord(row, word) {
  const element = /^([^=]*)=([A-Z][a-z]?)$/.exec(word);
  return element ? hasElement(row, element[1], element[2]) : haystacks[row].includes(word.toLowerCase());
}

function fitsColumn(row, key, wish) {
  const value = get(row, key);
  if (column[key].kind === "flag") return !wish.flag || value === (wish.flag === "yes");
  if (column[key].kind === "text") return !wish.text || String(value ?? "").toLowerCase().includes(wish.text.toLowerCase());
  if (wish.low === undefined && wish.high === undefined) return true;
  return isNumber(value) && value >= (wish.low ?? -Infinity) && value <= (wish.high ?? Infinity);
}

function fits(row) {
  if (wishes.success && !get(row, "success")) return false;
  if (wishes.distinct && !get(row, "unique")) return false;
  if (!wishes.words.split(/\s+/).filter(Boolean).every((word) => fitsWord(row, word))) return false;
  return Object.entries(wishes.columns).every(([key, wish]) => fitsColumn(row, key, wish));
}

function filter() {
  chosen.visible = new Set([...data.rows.keys()].filter(fits));
  tell("filter");
}

// Set by showFilters: puts words into the search box and brings the table into view.
let askFor = (/** @type {string} */ _text) => {};

function showFilters({ onColumns, onReset }) {
  const words = h("input", {
    type: "search",
    id: "search",
    placeholder: data.sites.length > 1 ? `Search: formula, ${data.sites[0]}=Sr …` : "Search: formula, =Sr …",
    "aria-label": "Search in formulas and other texts",
    oninput: () => {
      wishes.words = words.value;
      filter();
    },
  });
  const tick = (name, text) =>
    h("label", {}, h("input", { type: "checkbox", id: `only-${name}`, onchange: (event) => {
      wishes[name] = event.target.checked;
      filter();
    } }), ` ${text}`);
  const count = h("output", { id: "count", "aria-live": "polite" });
  const ticks_ = [tick("success", "successes only"), "unique" in place ? tick("distinct", "one of each formula") : null];
  const reset = () => {
    Object.assign(wishes, { words: "", success: false, distinct: false, columns: {} });
    words.value = "";
    ticks_.filter(Boolean).forEach((label) => {
      label.firstChild.checked = false;
    });
    onReset();
    filter();
  };
  askFor = (text) => {
    words.value = text;
    wishes.words = text;
    filter();
    byId("candidates").scrollIntoView();
  };
  byId("filters").append(
    words,
    ...ticks_.filter(Boolean),
    h("label", {}, h("input", { type: "checkbox", id: "all-columns", onchange: (event) => onColumns(event.target.checked) }), " all columns"),
    h("button", { type: "button", id: "reset", onclick: reset }, "Clear filters"),
    h("button", { type: "button", id: "csv", onclick: downloadTable }, "Download shown as CSV"),
    count,
  );
  const say = () => {
    count.textContent = `${chosen.visible.size} of ${data.rows.length} shown`;
  };
  listen((what) => what === "filter" && say());
  say();
}
