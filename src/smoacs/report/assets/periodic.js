// Periodic tables: in how many candidates an element is on each kind of site.

const NOBLE = [0, 2, 10, 18, 36, 54, 86, 118];

// Row and column of atomic number z in the usual table of 18 columns; rows 8 and 9 are the f block.
function seat(z) {
  const period = NOBLE.findIndex((noble) => z <= noble);
  const i = z - NOBLE[period - 1];
  const length = NOBLE[period] - NOBLE[period - 1];
  if (length === 32 && i >= 3 && i <= 17) return [period + 2, i];
  return [period, i <= 2 && !(z === 2) ? i : 18 - (length - i)];
}

function countBySite(rows) {
  const counts = data.sites.map(() => ({}));
  for (const row of rows) {
    const crystal = data.crystals[row];
    if (!crystal) continue;
    const seen = new Set();
    crystal.kinds.forEach((kind, atom) => {
      const site = crystal.places[atom];
      const key = `${site} ${kind}`;
      if (seen.has(key)) return;
      seen.add(key);
      counts[site][data.species[kind]] = (counts[site][data.species[kind]] ?? 0) + 1;
    });
  }
  return counts;
}

function showPeriodic() {
  const box = byId("periodic");
  const successes = [...data.rows.keys()].filter((row) => get(row, "success"));
  const choice = h(
    "select",
    { "aria-label": "Which candidates to count" },
    h("option", { value: "success", selected: successes.length > 0 }, "successes"),
    h("option", { value: "all", selected: !successes.length }, "all candidates"),
    h("option", { value: "shown" }, "candidates shown in the table"),
  );
  const tables = h("div", { class: `periodics${data.sites.length > 1 ? "" : " single"}` });
  const rowsOf = { success: () => successes, all: () => [...data.rows.keys()], shown: () => [...chosen.visible] };
  const paint = () => {
    const rows = rowsOf[choice.value]();
    const counts = countBySite(rows);
    tables.replaceChildren(...data.sites.map((site, k) => periodicTable(site, counts[k], rows.length)));
  };
  choice.addEventListener("change", paint);
  listen((what) => {
    if (what === "filter" && choice.value === "shown") paint();
  });
  box.append(
    h("div", { class: "bar" }, h("label", {}, "Count ", choice), h("span", { class: "note" }, "Click an element to see its candidates.")),
    tables,
  );
  paint();
}

function periodicTable(site, counts, n) {
  const most = Math.max(1, ...Object.values(counts));
  const used = Object.keys(counts).map((symbol) => data.symbols.indexOf(symbol) + 1);
  const shown = (z) => {
    const [row] = seat(z);
    return row < 6 || (row <= 6 && z <= 86) || used.some((other) => seat(other)[0] === row);
  };
  const cells = data.symbols.flatMap((symbol, index) => {
    if (!shown(index + 1)) return [];
    const [row, col] = seat(index + 1);
    const count = counts[symbol] ?? 0;
    const words = `${symbol}: ${count} of ${n} candidates`;
    const cell = h(
      count ? "button" : "span",
      {
        class: `element${count ? " used" : ""}`,
        type: count ? "button" : null,
        title: words,
        "aria-label": words,
        onclick: () => count && askFor(`${data.sites.length > 1 ? site : ""}=${symbol}`),
      },
      h("b", {}, symbol),
      count ? h("small", {}, String(count)) : null,
    );
    cell.style.gridRow = row;
    cell.style.gridColumn = col;
    if (count) cell.style.setProperty("--heat", `${Math.round(18 + 82 * Math.sqrt(count / most))}%`);
    if (count / most > 0.4) cell.classList.add("hot");
    return [cell];
  });
  const name = data.sites.length > 1 ? `Site ${site}` : "Elements";
  const kinds = Object.keys(counts).length;
  return h(
    "figure",
    {},
    h("figcaption", {}, h("b", {}, name), ` ${kinds} element${kinds === 1 ? "" : "s"}`),
    h("div", { class: "periodic", role: "group", "aria-label": name }, ...cells),
  );
}
