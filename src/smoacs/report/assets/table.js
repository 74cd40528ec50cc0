// The table of candidates: sort by a click on a head, filter below it, select a row.

const PAGE = 300; // rows that are drawn at once; more on demand

const sorting = { key: null, descending: false };
let drawn = PAGE;
let everything = false;

const shownColumns = () => data.columns.filter((c) => everything || c.shown);

// The order of the file is best first, which stands where no column was chosen; empty cells go last.
function sortedRows() {
  const rows = [...chosen.visible];
  if (!sorting.key) return rows;
  const sign = sorting.descending ? -1 : 1;
  const empty = (value) => value === null || value === "";
  return rows.sort((a, b) => {
    const [x, y] = [get(a, sorting.key), get(b, sorting.key)];
    if (empty(x) || empty(y)) return Number(empty(x)) - Number(empty(y)) || a - b;
    const order = typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y;
    return sign * order || a - b;
  });
}

function showTable() {
  const box = byId("table");
  const head = h("thead");
  const body = h("tbody");
  const more = h("button", { type: "button", class: "more", onclick: () => {
    drawn += PAGE;
    paintBody();
  } }, "Show more");
  box.append(h("table", { "aria-label": "Candidates" }, head, body), more);

  function paintHead() {
    const cells = shownColumns().map((c) => {
      const mark = h("span", { class: "mark", "aria-hidden": "true" });
      const names = [h("span", {}, c.label), c.unit ? h("small", {}, c.unit) : null];
      const button = h("button", { type: "button", title: [`Sort by ${c.label}`, c.meaning].filter(Boolean).join(": "), onclick: () => sortBy(c.key) }, ...names, mark);
      return h("th", { scope: "col", "data-key": c.key, class: c.kind }, button);
    });
    head.replaceChildren(
      h("tr", {}, ...cells),
      h("tr", { class: "filters" }, ...shownColumns().map((c) => h("td", { class: c.kind }, columnFilter(c)))),
    );
    paintMarks();
  }

  function paintMarks() {
    for (const cell of head.firstChild.children) {
      const active = cell.dataset.key === sorting.key;
      cell.setAttribute("aria-sort", !active ? "none" : sorting.descending ? "descending" : "ascending");
      cell.querySelector(".mark").textContent = !active ? "" : sorting.descending ? " ▼" : " ▲";
    }
  }

  // First click: ascending; second: descending; third: best first again.
  function sortBy(key) {
    if (sorting.key !== key) Object.assign(sorting, { key, descending: false });
    else if (!sorting.descending) sorting.descending = true;
    else Object.assign(sorting, { key: null, descending: false });
    paintMarks();
    paintBody();
  }

  function paintBody() {
    const rows = sortedRows();
    const columns = shownColumns();
    body.replaceChildren(...rows.slice(0, drawn).map((row) => tableRow(row, columns)));
    if (!rows.length) body.append(h("tr", {}, h("td", { colspan: columns.length, class: "none" }, "No candidate fits the filters.")));
    more.hidden = rows.length <= drawn;
    more.textContent = `Show more (${rows.length - drawn} left)`;
    paintSelection();
  }

  function paintSelection() {
    const before = body.querySelector("[aria-selected=true]");
    if (before) before.removeAttribute("aria-selected");
    const now = body.querySelector(`[data-row="${chosen.row}"]`);
    if (now) now.setAttribute("aria-selected", "true");
    const rowsInReach = [...body.querySelectorAll("[data-row]")];
    rowsInReach.forEach((node) => node.setAttribute("tabindex", "-1"));
    (now ?? rowsInReach[0])?.setAttribute("tabindex", "0");
  }

  body.addEventListener("click", (event) => {
    const row = event.target.closest("[data-row]");
    if (row) select(Number(row.dataset.row));
  });
  body.addEventListener("keydown", (event) => {
    const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    const row = event.target.closest("[data-row]");
    const next = step && row ? row[step] : null;
    if (next?.dataset.row) {
      event.preventDefault();
      next.focus();
      select(Number(next.dataset.row));
    } else if (event.key === "Enter" && row) select(Number(row.dataset.row));
  });
  listen((what) => {
    if (what === "row") return paintSelection();
    drawn = PAGE;
    return paintBody();
  });
  paintHead();
  paintBody();
  return {
    resetFilters: paintHead,
    showAll: (all) => {
      everything = all;
      paintHead();
      paintBody();
    },
  };
}

function tableRow(row, columns) {
  const cells = columns.map((c) => {
    const value = get(row, c.key);
    const good = c.kind === "flag" && value !== null ? (value ? " yes" : " no") : "";
    const missed = get(row, `${c.key}_met`) === false ? " off" : "";
    const plain = c.key === "formula" ? formulaNode(value) : c.key === "oxidation_states" ? statesNode(value) : cellText(row, c.key);
    return h("td", { class: `${c.kind}${good}${missed}` }, plain);
  });
  return h("tr", { "data-row": row }, ...cells);
}

function columnFilter({ key, kind, label }) {
  const wish = wishes.columns[key] ?? {};
  const set = (name, value) => {
    wishes.columns[key] = { ...wishes.columns[key], [name]: value };
    filter();
  };
  if (kind === "flag") {
    const options = ["", "yes", "no"].map((o) => h("option", { value: o, selected: wish.flag === o }, o || "any"));
    return h("select", { "aria-label": `Filter ${label}`, onchange: (e) => set("flag", e.target.value) }, ...options);
  }
  if (kind === "text") {
    return h("input", { value: wish.text ?? "", "aria-label": `Filter ${label}`, placeholder: "has …", oninput: (e) => set("text", e.target.value.trim()) });
  }
  const bound = (name, placeholder) =>
    h("input", {
      type: "number",
      step: "any",
      value: wish[name] ?? "",
      placeholder,
      "aria-label": `${label}: ${placeholder === "≥" ? "lowest" : "highest"}`,
      oninput: (e) => set(name, e.target.value === "" ? undefined : Number(e.target.value)),
    });
  return h("span", { class: "range" }, bound("low", "≥"), bound("high", "≤"));
}
