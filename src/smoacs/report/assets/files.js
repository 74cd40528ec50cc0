// Files made in the page: CIF and POSCAR of a crystal, CSV of the table.

// Nothing offers files of a candidate without a crystal.
const crystalOf = (row, conventional = false) => /** @type {NonNullable<ReturnType<typeof unpack>>} */ (unpack(row, conventional));

function cifText(row) {
  const { cell, atoms } = crystalOf(row, true); // as people know it; POSCAR has the cell as designed
  const { lengths, angles, volume } = cellParameters(cell);
  const formula = get(row, "formula");
  const charged = atoms.every(({ state }) => state !== null);
  const ion = ({ symbol, state }) => (charged ? `${symbol}${Math.abs(state)}${state < 0 ? "-" : "+"}` : symbol);
  const kinds = new Map(atoms.map((atom) => [ion(atom), atom.state]));
  const counts = {};
  const sites = atoms.map((atom) => {
    counts[atom.symbol] = (counts[atom.symbol] ?? 0) + 1;
    const where = atom.frac.map((f) => f.toFixed(8)).join(" ");
    return ` ${ion(atom)} ${atom.symbol}${counts[atom.symbol]} 1 ${where} 1`;
  });
  const sum = Object.entries(counts).map(([symbol, count]) => `${symbol}${count}`).join(" ");
  return [
    `# smoacs design, candidate ${get(row, "id")}`,
    `data_${formula}`,
    `_chemical_formula_sum '${sum}'`,
    "_symmetry_space_group_name_H-M 'P 1'",
    "_symmetry_Int_Tables_number 1",
    ...["a", "b", "c"].map((name, k) => `_cell_length_${name} ${lengths[k].toFixed(8)}`),
    ...["alpha", "beta", "gamma"].map((name, k) => `_cell_angle_${name} ${angles[k].toFixed(8)}`),
    `_cell_volume ${volume.toFixed(8)}`,
    "loop_",
    "_symmetry_equiv_pos_site_id",
    "_symmetry_equiv_pos_as_xyz",
    " 1 'x, y, z'",
    ...(charged
      ? ["loop_", "_atom_type_symbol", "_atom_type_oxidation_number", ...[...kinds].map(([name, state]) => ` ${name} ${state.toFixed(1)}`)]
      : []),
    "loop_",
    "_atom_site_type_symbol",
    "_atom_site_label",
    "_atom_site_symmetry_multiplicity",
    "_atom_site_fract_x",
    "_atom_site_fract_y",
    "_atom_site_fract_z",
    "_atom_site_occupancy",
    ...sites,
    "",
  ].join("\n");
}

// Elements in the order in which they first occur, the atoms of each together, as VASP wants them.
function poscarText(row) {
  const { cell, atoms } = crystalOf(row);
  const symbols = [...new Set(atoms.map(({ symbol }) => symbol))];
  const groups = symbols.map((symbol) => atoms.filter((atom) => atom.symbol === symbol));
  const three = (numbers) => numbers.map((x) => x.toFixed(8).padStart(14)).join(" ");
  return [
    `${get(row, "formula")} smoacs ${get(row, "id")}`,
    "1.0",
    ...cell.map(three),
    symbols.join(" "),
    groups.map((group) => group.length).join(" "),
    "Direct",
    ...groups.flat().map((atom) => `${three(atom.frac)} ${atom.symbol}`),
    "",
  ].join("\n");
}

function csvField(value) {
  const text = value === null ? "" : value === true ? "True" : value === false ? "False" : String(value);
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function download(name, text) {
  const link = h("a", { href: URL.createObjectURL(new Blob([text], { type: "text/plain" })), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function downloadTable() {
  const lines = [data.keys, ...sortedRows().map((row) => data.rows[row])];
  download("candidates.csv", `${lines.map((line) => line.map(csvField).join(",")).join("\n")}\n`);
}
const fileStem = (row) => `${get(row, "id")}_${get(row, "formula")}`.replace(/[^\w.-]/g, "_");
