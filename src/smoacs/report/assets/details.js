// The selected candidate: its crystal, its properties, all else that is known, and files to take away.

function showDetails() {
  const box = byId("details");
  const canvas = h("canvas", { id: "crystal", tabindex: "0", role: "img" });
  const heading = h("h3", { id: "details-title" });
  const subtitle = h("p", { class: "note" });
  const legend = h("div", { class: "legend atoms" });
  const lists = h("div");
  const missing = h("p", { class: "none", hidden: true }, "This candidate has no crystal to draw: see results.csv and structures.");
  const viewer = makeViewer(canvas);
  let repeat = 1;
  let conventional = false;
  const tick = (name, text) =>
    h("label", {}, h("input", { type: "checkbox", checked: true, onchange: (e) => viewer.set(name, e.target.checked) }), ` ${text}`);
  const button = (text, label, onclick, id = /** @type {string | null} */ (null)) => h("button", { type: "button", id, title: label, "aria-label": label, onclick }, text);
  const draw = () => {
    const crystal = chosen.row === null ? null : unpack(chosen.row, conventional);
    viewer.show(crystal ? buildScene(crystal, repeat) : null);
  };
  const cells = h("label", {}, h("input", { type: "checkbox", onchange: (e) => {
    repeat = e.target.checked ? 2 : 1;
    draw();
  } }), " 2×2×2");
  const whole = h("label", {}, h("input", { type: "checkbox", id: "conventional", onchange: (e) => {
    conventional = e.target.checked;
    draw();
  } }), " conventional cell");
  const tools = h(
    "div",
    { class: "bar tools" },
    tick("bonds", "bonds"),
    tick("faces", "polyhedra"),
    cells,
    whole,
    button("+", "Nearer", () => viewer.zoom(1.2)),
    button("−", "Farther", () => viewer.zoom(1 / 1.2)),
    button("Reset", "Reset the view", viewer.reset),
  );
  const files = h(
    "div",
    { class: "bar files" },
    button("Download CIF", "Download the crystal as CIF", () => download(`${fileStem(chosen.row)}.cif`, cifText(chosen.row)), "cif"),
    button("Download POSCAR", "Download the crystal as POSCAR", () => download(`${fileStem(chosen.row)}.vasp`, poscarText(chosen.row)), "poscar"),
  );
  box.append(heading, subtitle, canvas, missing, legend, tools, files, lists);

  function paint() {
    const { row } = chosen;
    if (row === null) return;
    const crystal = unpack(row);
    for (const node of [canvas, legend, tools, files]) node.hidden = !crystal;
    missing.hidden = Boolean(crystal);
    whole.hidden = !data.crystals[row]?.conventional;
    heading.replaceChildren(formulaNode(get(row, "formula")), " ", h("small", {}, get(row, "id")), verdict(row));
    subtitle.replaceChildren(statesNode(get(row, "oxidation_states")), ` · ${get(row, "space_group") || "no space group"}`);
    legend.replaceChildren(...(crystal ? legendOf(crystal) : []));
    canvas.setAttribute(
      "aria-label",
      `Unit cell of ${get(row, "formula")}. Drag or use the arrow keys to rotate, + and − to zoom, 0 to reset.`,
    );
    draw();
    lists.replaceChildren(propertyTable(row), ...["verdict", "further", "geometry"].map((group) => listOf(row, group)).filter(Boolean));
  }
  listen((what) => what === "row" && paint());
}

const verdict = (row) =>
  h("span", { class: `badge ${get(row, "success") ? "yes" : "no"}` }, get(row, "success") ? "success" : "not a success");

function legendOf(crystal) {
  const counts = new Map();
  for (const { symbol, site } of crystal.atoms) {
    const entry = counts.get(symbol) ?? { n: 0, sites: new Set() };
    entry.n += 1;
    entry.sites.add(site);
    counts.set(symbol, entry);
  }
  return [...counts].map(([symbol, { n, sites }]) => {
    const dot_ = h("i", { class: "dot atom" });
    dot_.style.background = data.elements[symbol].color;
    const where = data.sites.length > 1 ? ` on ${[...sites].join(", ")}` : "";
    return h("span", {}, dot_, ` ${symbol}`, h("small", {}, ` ${n}${where}`));
  });
}

// Predicted value, what was asked, and whether it is met.
function propertyTable(row) {
  const rows = data.columns
    .filter((c) => c.group === "property" && c.kind === "number")
    .map((c) => {
      const asked = targetsOf(c.key);
      const met = get(row, `${c.key}_met`);
      const mark = met === null ? "" : met ? "✓" : "✗";
      const words = asked.map((target) => target.short).join("; ");
      return h(
        "tr",
        {},
        h("th", { scope: "row", title: c.meaning }, c.label),
        h("td", { class: "number" }, `${cellText(row, c.key)} ${c.unit}`),
        h("td", { class: `asked ${met === null ? "" : met ? "yes" : "no"}` }, `${mark} ${words}`),
      );
    });
  const head = ["property", "predicted", "asked"].map((text) => h("th", { scope: "col" }, text));
  return h("table", { class: "values" }, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows));
}

const GROUPS = { verdict: "Verdicts", further: "Further checks", geometry: "Geometry" };

function listOf(row, group) {
  const columns = data.columns.filter((c) => {
    if (c.group !== group || c.key === "oxidation_states" || c.key.endsWith("_met")) return false;
    return group !== "further" || !["", null].includes(get(row, c.key));
  });
  if (!columns.length) return null;
  const items = columns.flatMap((c) => {
    const value = get(row, c.key);
    const tone = c.kind === "flag" && value !== null ? (value ? "yes" : "no") : "";
    const unit = c.kind === "number" && isNumber(value) ? ` ${c.unit}` : "";
    return [h("dt", { title: c.meaning }, c.label), h("dd", { class: tone }, `${cellText(row, c.key)}${unit}`)];
  });
  return h("details", { open: group !== "geometry" }, h("summary", {}, GROUPS[group]), h("dl", { class: "settings" }, ...items));
}
