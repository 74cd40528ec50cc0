// The head of the report: numbers of the run, what was asked, success by criterion.

function showOverview() {
  byId("title").textContent = capital(data.title);
  byId("facts").append(
    ...data.facts.map((fact) => h("div", { class: "fact" }, h("b", {}, fact.value), h("span", {}, fact.label))),
  );
  byId("asked").append(
    h("ul", { class: "targets" }, ...data.targets.map((target) => h("li", {}, target.text))),
    h(
      "dl",
      { class: "settings" },
      ...data.settings.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
    ),
  );
  const box = byId("success");
  box.append(bars(data.criteria, "candidates"));
  const further = data.further.filter(({ known }) => known);
  if (further.length) box.append(h("h3", {}, "Of the successes"), bars(further, "successes"));
  const release = data.settings.find(([name]) => name === "versions");
  byId("footer").append(
    "Predicted values are estimates of a model. ± is one standard deviation of the prediction. " +
      "This page holds all of its data and asks no network.",
    release ? h("span", {}, ` ${release[1]}.`) : null,
  );
}

function bars(list, whole) {
  return h(
    "div",
    { class: "bars" },
    ...list.flatMap(({ label, passed, known, only }) => {
      const share = known ? passed / known : 0;
      const filled = h("div", { class: "bar-inside" });
      filled.style.width = `${100 * share}%`;
      const words = `${passed} of ${known} ${whole}`;
      const rest = only ? `; ${only} miss${only === 1 ? "es" : ""} only this` : "";
      return [
        h("span", { class: "bar-name" }, label),
        h("div", { class: "bar-outside", role: "img", "aria-label": `${label}: ${words}` }, filled),
        h("span", { class: "bar-value" }, h("b", {}, `${numberText(100 * share, 1)}%`), ` ${words}${rest}`),
      ];
    }),
  );
}
