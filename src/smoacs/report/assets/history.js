// How the batch moved: quantiles of each property over the steps, and what was kept at the end.

function showMovement() {
  const { steps, quantiles } = data.history;
  byId("steps").hidden = !steps.length;
  if (!steps.length) return;
  const names = Object.keys(quantiles);
  const wanted = names.filter((name) => targetsOf(name).length);
  const shown = [...new Set([...wanted, ...names])];
  byId("movement").append(...shown.map((name) => movementChart(name, steps, quantiles[name])));
}

function quantile(sorted, share) {
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  return sorted[low] + (at - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
}

function movementChart(name, steps, rows) {
  const label = column[name]?.label ?? name.replaceAll("_", " ");
  const last = steps[steps.length - 1];
  const room = Math.max(1, last * 0.06);
  const kept = data.rows.map((_, row) => get(row, name)).filter(isNumber).sort((a, b) => a - b);
  const five = kept.length ? [0.1, 0.25, 0.5, 0.75, 0.9].map((share) => quantile(kept, share)) : [];
  // The first steps may start far off: they may leave the frame.
  const values = [...rows[1], ...rows[2], ...rows[3], ...[0, 4].map((k) => rows[k][steps.length - 1])];
  const chart = frame({
    width: 620,
    height: 250,
    margin: [26, 10, 42, 66],
    x: { limits: [Math.min(0, steps[0]), last + room * 1.6], ticks: 6, label: "step" },
    y: { limits: limits([...values, ...five], boundsOf(name), 0.005), ticks: 5, label: withUnit(label, column[name]?.unit) },
    name: `${label} of the candidates over the steps`,
  });
  drawTargets(chart, name, "y");
  const { inner } = chart;
  const Y = (value) => Math.max(inner.top, Math.min(inner.bottom, chart.Y(value)));
  const ok = steps.map((_, i) => rows.every((row) => isNumber(row[i])));
  const points = (row) => steps.map((step, i) => [chart.X(step), row[i], ok[i]]).filter((p) => p[2]);
  const path = (list) => list.map(([x, value]) => `${x.toFixed(1)} ${Y(value).toFixed(1)}`).join("L");
  for (const [low, high, name_] of [[0, 4, "wide"], [1, 3, "narrow"]]) {
    const d = `M${path(points(rows[low]))}L${path(points(rows[high]).reverse())}Z`;
    if (ok.some(Boolean)) chart.plot.append(s("path", { class: `quantiles ${name_}`, d }));
  }
  if (ok.some(Boolean)) chart.plot.append(s("path", { class: "median", d: `M${path(points(rows[2]))}` }));
  if (five.length) {
    const x = chart.X(last + room);
    const width = (chart.X(last + room) - chart.X(last)) * 0.5;
    const box = (low, high, name_) =>
      s("rect", { class: `quantiles ${name_}`, x: x - width / 2, width, y: Y(high), height: Math.max(1, Y(low) - Y(high)) });
    chart.plot.append(
      box(five[0], five[4], "kept wide"),
      box(five[1], five[3], "kept narrow"),
      s("path", { class: "median kept", d: `M${x - width / 2} ${Y(five[2])}h${width}` }),
      s("text", { x, y: inner.top - 6, "text-anchor": "middle" }, "kept"),
    );
  }
  const asked = targetsOf(name).map((target) => target.text).join("; ");
  chart.svg.append(s("text", { class: "asked", x: inner.left, y: 14 }, asked ? `asked: ${asked}` : label));
  return h("figure", {}, chart.svg);
}
