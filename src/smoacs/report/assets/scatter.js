// The Pareto plot and the scatter matrix of the properties.

const MATRIX_SIZE = 5;

function plottable() {
  const numbers = data.columns.filter((c) => c.kind === "number" && c.group === "property");
  return numbers.filter((c) => data.rows.some((_, row) => isNumber(get(row, c.key)))).map((c) => c.key);
}

function showMatrix() {
  const targeted = plottable().filter((key) => targetsOf(key).length);
  const keys = [...new Set([...targeted, ...plottable().slice(0, 3)])].slice(0, MATRIX_SIZE);
  if (keys.length < 2) return;
  const [gap, left, bottom] = [12, 62, 44];
  const size = Math.round(570 / keys.length) - gap;
  const total = keys.length * (size + gap);
  const svg = s("svg", {
    viewBox: `0 0 ${left + total} ${total + bottom}`,
    class: "chart",
    role: "img",
    "aria-label": `Scatter matrix of ${keys.map((key) => column[key].label).join(", ")}`,
  });
  const short = (key) => column[key].unit || column[key].label; // the diagonal names the property
  const axis = (key) => ({ limits: limits(data.rows.map((_, row) => get(row, key)), boundsOf(key), 0.005) });
  const layers = [];
  keys.forEach((yKey, i) => {
    keys.slice(0, i + 1).forEach((xKey, j) => {
      const cell = frame({
        width: size + left,
        height: size + bottom,
        margin: [0, 0, bottom, left],
        x: { ...axis(xKey), ticks: i === keys.length - 1 ? 3 : 0, label: i === keys.length - 1 ? short(xKey) : "" },
        y: { ...axis(i === j ? xKey : yKey), ticks: j === 0 && i > 0 ? 4 : 0, label: j === 0 && i > 0 ? short(yKey) : "" },
        name: "",
      });
      cell.svg.setAttribute("x", j * (size + gap));
      cell.svg.setAttribute("y", i * (size + gap));
      cell.svg.setAttribute("width", size + left);
      cell.svg.setAttribute("height", size + bottom);
      cell.svg.removeAttribute("role");
      svg.append(cell.svg);
      drawTargets(cell, xKey, "x");
      if (i === j) histogram(cell, xKey);
      else {
        drawTargets(cell, yKey, "y");
        layers.push(scatter(cell, xKey, yKey));
      }
    });
  });
  makePickable(svg, layers);
  follow(layers);
  byId("matrix").append(h("h3", {}, "Scatter matrix"), svg);
}

// How often each value occurs: successes in front of all candidates.
function histogram(cell, key) {
  const [low, high] = cell.x.limits;
  const n = 18;
  const all = new Array(n).fill(0);
  const good = new Array(n).fill(0);
  for (const row of data.rows.keys()) {
    const value = get(row, key);
    const bin = Math.floor(((value - low) / (high - low)) * n);
    if (!isNumber(value) || bin < 0 || bin >= n) continue;
    all[bin] += 1;
    if (get(row, "success")) good[bin] += 1;
  }
  const { inner } = cell;
  const width = (inner.right - inner.left) / n;
  const tall = (count) => ((inner.bottom - inner.top - 18) * count) / Math.max(...all, 1);
  for (const { counts, name } of [{ counts: all, name: "missed" }, { counts: good, name: "met" }]) {
    const d = counts.map((count, k) => {
      const x = inner.left + k * width;
      return count ? `M${x} ${inner.bottom}v${-tall(count)}h${width - 1}v${tall(count)}z` : "";
    });
    cell.plot.append(s("path", { class: `columns ${name}`, d: d.join("") }));
  }
  const middle = (inner.left + inner.right) / 2;
  cell.plot.append(s("text", { class: "label", x: middle, y: inner.top + 11, "text-anchor": "middle" }, column[key].label));
}

// What is better on an axis: from the target, else lower.
function usualWish(key) {
  const [target] = targetsOf(key);
  if (!target) return "lower";
  if (target.direction) return target.direction > 0 ? "higher" : "lower";
  if (target.low === null) return "lower";
  return target.high === null ? "higher" : "near";
}

function cost(key, wish) {
  const [target] = targetsOf(key);
  const middle = target && target.low !== null && target.high !== null ? (target.low + target.high) / 2 : 0;
  if (wish === "near") return (value) => Math.abs(value - middle);
  return wish === "higher" ? (value) => -value : (value) => value;
}

// Candidates that no other beats on both axes.
function paretoFront(rows, xKey, yKey, xCost, yCost) {
  const points = rows
    .map((row) => ({ row, x: get(row, xKey), y: get(row, yKey) }))
    .filter(({ x, y }) => isNumber(x) && isNumber(y))
    .map(({ row, x, y }) => ({ row, x: xCost(x), y: yCost(y) }))
    .sort((a, b) => a.x - b.x || a.y - b.y);
  const front = [];
  let best = Infinity;
  for (const point of points) {
    if (point.y < best) {
      front.push(point.row);
      best = point.y;
    }
  }
  return front;
}

function showPareto() {
  const keys = plottable();
  if (keys.length < 2) return;
  const targeted = keys.filter((key) => targetsOf(key).length);
  const ySuggestion = ["energy_above_hull", "formation_energy"].find((key) => keys.includes(key));
  const first = targeted.find((key) => key !== ySuggestion) ?? keys.find((key) => key !== ySuggestion);
  const state = { x: first, y: ySuggestion ?? keys.find((key) => key !== first) };
  const wishes = { lower: "lower is better", higher: "higher is better", near: "near the middle of the window" };
  const holder = h("div");
  const chooser = (axis) => {
    const property = h(
      "select",
      { "aria-label": `Property of the ${axis} axis` },
      ...keys.map((key) => h("option", { value: key, selected: key === state[axis] }, title(key))),
    );
    const wish = h("select", { "aria-label": `What is better on the ${axis} axis` });
    const offer = () => {
      const window = usualWish(property.value) === "near";
      wish.replaceChildren(
        ...Object.entries(wishes)
          .filter(([name]) => name !== "near" || window)
          .map(([name, words]) => h("option", { value: name, selected: name === usualWish(property.value) }, words)),
      );
    };
    offer();
    property.addEventListener("change", () => {
      offer();
      draw();
    });
    wish.addEventListener("change", () => draw());
    state[`${axis}Inputs`] = { property, wish };
    return h("label", { class: "axis-choice" }, `${axis}: `, property, " ", wish);
  };
  /** @type {ReturnType<typeof scatter>} */
  let layer;
  function draw() {
    const [xKey, yKey] = ["x", "y"].map((axis) => state[`${axis}Inputs`].property.value);
    const [xCost, yCost] = ["x", "y"].map((axis) => {
      const { property, wish } = state[`${axis}Inputs`];
      return cost(property.value, wish.value);
    });
    const values = (key) => data.rows.map((_, row) => get(row, key));
    const chart = frame({
      width: 620,
      height: 470,
      margin: [12, 14, 46, 66],
      x: { limits: limits(values(xKey), boundsOf(xKey)), ticks: 7, label: title(xKey) },
      y: { limits: limits(values(yKey), boundsOf(yKey)), ticks: 7, label: title(yKey) },
      name: `Pareto plot of ${column[yKey].label} against ${column[xKey].label}`,
    });
    drawTargets(chart, xKey, "x");
    drawTargets(chart, yKey, "y");
    layer = scatter(chart, xKey, yKey, () => paretoFront([...chosen.visible], xKey, yKey, xCost, yCost));
    layer.paint();
    makePickable(chart.svg, [layer]);
    holder.replaceChildren(chart.svg);
  }
  byId("pareto").append(
    h("h3", {}, "Pareto plot"),
    h("div", { class: "bar" }, chooser("x"), chooser("y")),
    holder,
    h(
      "p",
      { class: "note legend" },
      ...[
        ["met", "success"],
        ["missed", "misses a criterion"],
        ["wanted", "asked for"],
        ["front", "on the Pareto front: no other shown candidate is better on both axes"],
      ].map(([name, words]) => h("span", {}, h("i", { class: `dot ${name}` }), ` ${words}`)),
    ),
  );
  draw();
  listen((what) => (what === "row" ? layer.mark() : layer.paint()));
}

function follow(layers) {
  layers.forEach((layer) => layer.paint());
  listen((what) => layers.forEach((layer) => (what === "row" ? layer.mark() : layer.paint())));
}
