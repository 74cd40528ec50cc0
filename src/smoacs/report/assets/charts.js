// Axes, target windows and points as SVG.

function ticks(low, high, wanted) {
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 2.5, 5].find((factor) => factor * power >= rough * 0.999) ?? 10);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9) + (step / power === 2.5 ? 1 : 0));
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k += 1) {
    found.push({ at: k * step, text: numberText(k * step, digits) });
  }
  return found;
}

// Limits around the values and the bounds of the targets, with some room. A share `trim` of the
// outermost values may leave the frame, and bounds so far off that they would squeeze the values.
function limits(values, bounds, trim = 0) {
  const sorted = values.filter(isNumber).sort((a, b) => a - b);
  const cut = Math.floor(trim * sorted.length);
  const kept = sorted.slice(cut, sorted.length - cut || undefined);
  const [first, last] = [kept[0], kept[kept.length - 1]];
  const near = (bound) => !kept.length || (bound >= 2 * first - last && bound <= 2 * last - first);
  const all = [...kept, ...bounds.filter((bound) => isNumber(bound) && near(bound))];
  if (!all.length) return [0, 1];
  const low = all.reduce((a, b) => Math.min(a, b));
  const high = all.reduce((a, b) => Math.max(a, b));
  const room = (high - low) * 0.06 || Math.abs(high) * 0.05 || 0.5;
  return [low - room, high + room];
}
const boundsOf = (key) => targetsOf(key).flatMap((target) => [target.low, target.high]);

// A frame with axes. `x` and `y` are {limits, label, ticks}; labels and ticks may be left out.
function frame({ width, height, margin, x, y, name }) {
  const [top, right, bottom, left] = margin;
  const inner = { left, right: width - right, top, bottom: height - bottom };
  const X = (v) => left + ((v - x.limits[0]) / (x.limits[1] - x.limits[0])) * (inner.right - left);
  const Y = (v) => inner.bottom - ((v - y.limits[0]) / (y.limits[1] - y.limits[0])) * (inner.bottom - top);
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": name, class: "chart" });
  const bands = s("g", { class: "bands" });
  const plot = s("g", { class: "plot" });
  const axes = s("g", { class: "axes" });
  axes.append(
    s("path", { class: "axis", d: `M${left} ${top}V${inner.bottom}H${inner.right}` }),
    ...(x.ticks ? ticks(...x.limits, x.ticks) : []).flatMap(({ at, text }) => [
      s("path", { class: "axis", d: `M${X(at)} ${inner.bottom}v4` }),
      s("text", { x: X(at), y: inner.bottom + 15, "text-anchor": "middle" }, text),
    ]),
    ...(y.ticks ? ticks(...y.limits, y.ticks) : []).flatMap(({ at, text }) => [
      s("path", { class: "axis", d: `M${left} ${Y(at)}h-4` }),
      s("text", { x: left - 7, y: Y(at) + 3.5, "text-anchor": "end" }, text),
    ]),
  );
  if (x.label) {
    const middle = (left + inner.right) / 2;
    axes.append(s("text", { class: "label", x: middle, y: height - 8, "text-anchor": "middle" }, x.label));
  }
  if (y.label) {
    const middle = (top + inner.bottom) / 2;
    const upright = `translate(12 ${middle}) rotate(-90)`;
    axes.append(s("text", { class: "label", transform: upright, "text-anchor": "middle" }, y.label));
  }
  svg.append(bands, plot, axes);
  return { svg, bands, plot, X, Y, inner, x, y };
}

// What was asked of a property, as a band across the frame.
function drawTargets(chart, key, axis) {
  const { inner, bands } = chart;
  const [low, high] = chart[axis].limits;
  for (const target of targetsOf(key)) {
    if (target.direction) continue;
    const from = Math.max(low, target.low ?? -Infinity);
    const to = Math.min(high, target.high ?? Infinity);
    if (from >= to) continue;
    const box =
      axis === "x"
        ? { x: chart.X(from), width: chart.X(to) - chart.X(from), y: inner.top, height: inner.bottom - inner.top }
        : { x: inner.left, width: inner.right - inner.left, y: chart.Y(to), height: chart.Y(from) - chart.Y(to) };
    bands.append(s("rect", { class: "wanted", ...box }));
  }
}

const inside = (value, [low, high]) => isNumber(value) && value >= low && value <= high;

// Points of all candidates: one path for each class, which thousands of points do not slow down.
function scatter(chart, xKey, yKey, ringed = () => /** @type {number[]} */ ([])) {
  const points = [];
  for (const row of data.rows.keys()) {
    const [x, y] = [get(row, xKey), get(row, yKey)];
    if (inside(x, chart.x.limits) && inside(y, chart.y.limits)) points.push({ row, x: chart.X(x), y: chart.Y(y) });
  }
  const classes = ["faint", "missed", "met"];
  const paths = Object.fromEntries(classes.map((name) => [name, s("path", { class: `points ${name}` })]));
  const rings = s("g", { class: "rings" });
  const marker = s("circle", { class: "selected", r: 6.5, cx: -99, cy: -99 });
  chart.plot.append(...classes.map((name) => paths[name]), rings, marker);
  const dots = (list) => list.map(({ x, y }) => `M${x.toFixed(1)} ${y.toFixed(1)}h0`).join("");
  const kind = (row) => (!chosen.visible.has(row) ? "faint" : get(row, "success") ? "met" : "missed");
  function paint() {
    for (const name of classes) paths[name].setAttribute("d", dots(points.filter(({ row }) => kind(row) === name)));
    const kept = new Set(ringed());
    rings.replaceChildren(
      ...points.filter(({ row }) => kept.has(row)).map(({ x, y }) => s("circle", { class: "front", r: 5.5, cx: x, cy: y })),
    );
    mark();
  }
  function mark() {
    const point = points.find(({ row }) => row === chosen.row);
    marker.setAttribute("cx", point ? point.x : -99);
    marker.setAttribute("cy", point ? point.y : -99);
  }
  function near(event) {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(chart.svg.getScreenCTM().inverse());
    let best = null;
    let distance = 12;
    for (const point of points) {
      const d = Math.hypot(point.x - at.x, point.y - at.y);
      if (d < distance) [best, distance] = [point, d];
    }
    return best;
  }
  return { paint, mark, near, xKey, yKey };
}

// Hovering tells, clicking selects; `layers` are what `scatter` gave for charts inside one SVG.
function makePickable(svg, layers) {
  const nearest = (event) => {
    for (const layer of layers) {
      const point = layer.near(event);
      if (point) return { ...point, layer };
    }
    return null;
  };
  svg.addEventListener("pointermove", (event) => {
    const found = nearest(event);
    svg.classList.toggle("hot", Boolean(found));
    if (!found) return hideTip();
    const { row, layer } = found;
    const lines = [layer.xKey, layer.yKey].map((key) =>
      h("div", {}, `${column[key].label} ${cellText(row, key)} ${column[key].unit}`),
    );
    return showTip(event, h("strong", {}, formulaNode(get(row, "formula"))), ` ${get(row, "id")}`, ...lines);
  });
  svg.addEventListener("pointerleave", hideTip);
  svg.addEventListener("click", (event) => {
    const found = nearest(event);
    if (found) select(found.row);
  });
}
