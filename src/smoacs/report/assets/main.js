// Put the parts together: what is seen first comes first, the rest after the first painting.

showOverview();
const table = showTable();
showFilters({ onColumns: table.showAll, onReset: table.resetFilters });
showDetails();
if (data.rows.length) select(0);

requestAnimationFrame(() =>
  setTimeout(() => {
    showPareto();
    showMatrix();
    showPeriodic();
    showMovement();
    document.documentElement.dataset.ready = "yes";
  }),
);
