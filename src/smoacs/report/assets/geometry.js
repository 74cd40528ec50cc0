// From fractional coordinates to what is drawn: atoms with their images, bonds, polyhedra, the cell.

// A bond is at most this much longer than the sum of the covalent radii: NaCl 1.05, CsSnI3 1.12.
const BOND_STRETCH = 1.2;
// Cations with more neighbours in a wider reach, such as A of a perovskite, are drawn without bonds,
// as is customary.
const MOST_BONDS = 8;
const WIDER = 1.2;
// Fractions of the cell: atoms this close to a face are drawn on the opposite one, too.
const ON_FACE = 0.002;

const add = (a, b) => a.map((x, i) => x + b[i]);
const minus = (a, b) => a.map((x, i) => x - b[i]);
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const norm = (a) => Math.hypot(...a);
const toXyz = (cell, f) => [0, 1, 2].map((k) => f[0] * cell[0][k] + f[1] * cell[1][k] + f[2] * cell[2][k]);

function unpack(row, conventional = false) {
  const packed = data.crystals[row];
  if (!packed) return null;
  const given = { cell: packed.cell, frac: packed.frac, from: packed.kinds.map((_, i) => i) };
  const shown = (conventional && packed.conventional) || given;
  const cell = [0, 3, 6].map((k) => shown.cell.slice(k, k + 3));
  const atoms = shown.from.map((source, i) => ({
    symbol: data.species[packed.kinds[source]],
    frac: shown.frac.slice(3 * i, 3 * i + 3),
    state: packed.states ? packed.states[source] : null,
    site: data.sites[packed.places[source]],
  }));
  return { cell, atoms };
}

// Lengths (Å), angles (degrees) and volume (Å³) of a cell.
function cellParameters(cell) {
  const lengths = cell.map(norm);
  const angle = (i, j) => (Math.acos(dot(cell[i], cell[j]) / (lengths[i] * lengths[j])) * 180) / Math.PI;
  const volume = Math.abs(dot(cell[0], cross(cell[1], cell[2])));
  return { lengths, angles: [angle(1, 2), angle(0, 2), angle(0, 1)], volume };
}

const radiusOf = (symbol) => data.elements[symbol].radius;

// Ions bond to ions of the other sign; without oxidation states any two near atoms do.
function mayBond(a, b) {
  return a.state === null || b.state === null || a.state * b.state < 0;
}

// For each atom (coordinates wrapped into the cell) its bonded neighbours with their cells, `near`,
// and how many there are within the wider reach, `around`.
function bondedNeighbours(cell, atoms) {
  const { volume } = cellParameters(cell);
  const reach = 2 * WIDER * BOND_STRETCH * Math.max(...atoms.map(({ symbol }) => radiusOf(symbol)));
  const heights = [0, 1, 2].map((k) => volume / norm(cross(cell[(k + 1) % 3], cell[(k + 2) % 3])));
  const [na, nb, nc] = heights.map((height) => Math.min(3, Math.ceil(reach / height)));
  const shifts = [];
  for (let a = -na; a <= na; a += 1)
    for (let b = -nb; b <= nb; b += 1) for (let c = -nc; c <= nc; c += 1) shifts.push({ shift: [a, b, c], xyz: toXyz(cell, [a, b, c]) });
  const places = atoms.map(({ frac }) => toXyz(cell, frac));
  return atoms.map((atom, i) => {
    const near = [];
    let around = 0;
    atoms.forEach((other, j) => {
      if (!mayBond(atom, other)) return;
      const most = BOND_STRETCH * (radiusOf(atom.symbol) + radiusOf(other.symbol));
      const [x, y, z] = minus(places[j], places[i]);
      for (const { shift, xyz } of shifts) {
        const d2 = (x + xyz[0]) ** 2 + (y + xyz[1]) ** 2 + (z + xyz[2]) ** 2;
        if (d2 < 0.01 || d2 > (WIDER * most) ** 2) continue;
        around += 1;
        if (d2 < most * most) near.push({ j, shift });
      }
    });
    return { near, around };
  });
}

// Faces of the convex hull of a few points, each an ordered polygon of indices.
function hullFaces(points) {
  const faces = new Map();
  const n = points.length;
  for (let i = 0; i < n; i += 1)
    for (let j = i + 1; j < n; j += 1)
      for (let k = j + 1; k < n; k += 1) {
        const normal = cross(minus(points[j], points[i]), minus(points[k], points[i]));
        const size = norm(normal);
        if (size < 1e-3) continue;
        const heights = points.map((p) => dot(minus(p, points[i]), normal) / size);
        if (heights.some((height) => height > 0.05) && heights.some((height) => height < -0.05)) continue;
        const flat = heights.flatMap((height, index) => (Math.abs(height) <= 0.05 ? [index] : []));
        if (flat.length < n) faces.set(flat.join(" "), { flat, normal });
      }
  return [...faces.values()].map(({ flat, normal }) => {
    const middle = flat.reduce((sum, index) => add(sum, points[index]), [0, 0, 0]).map((x) => x / flat.length);
    const u = minus(points[flat[0]], middle);
    const v = cross(normal, u).map((x) => x / norm(normal));
    const around = (index) => Math.atan2(dot(minus(points[index], middle), v), dot(minus(points[index], middle), u));
    return flat.slice().sort((a, b) => around(a) - around(b));
  });
}

// Everything that the viewer draws, in Å. `repeat` cells along each axis.
function buildScene(crystal, repeat) {
  const { cell } = crystal;
  const atoms = crystal.atoms.map((atom) => ({ ...atom, frac: atom.frac.map((f) => f - Math.floor(f + ON_FACE)) }));
  const neighbours = bondedNeighbours(cell, atoms);
  const known = new Map();
  const images = [];
  const image = (index, shift) => {
    const key = `${index} ${shift.join(" ")}`;
    if (!known.has(key)) {
      known.set(key, images.length);
      images.push({ ...atoms[index], index, shift, xyz: toXyz(cell, add(atoms[index].frac, shift)) });
    }
    return known.get(key);
  };
  atoms.forEach(({ frac }, index) => {
    const range = frac.map((f) => [...Array(repeat + 1).keys()].filter((n) => f + n <= repeat + ON_FACE));
    for (const a of range[0]) for (const b of range[1]) for (const c of range[2]) image(index, [a, b, c]);
  });
  const ionic = atoms.every(({ state }) => state !== null);
  const bonds = new Map();
  const faces = [];
  images.slice().forEach(({ index, shift, xyz, state, symbol }) => {
    const { near, around } = neighbours[index];
    if (ionic ? around > MOST_BONDS : near.length > 12) return;
    if (ionic && state < 0) return; // bonds of anions are those of their cations
    const from = image(index, shift);
    const ends = near.map((n) => image(n.j, add(shift, n.shift)));
    ends.forEach((to) => bonds.set(from < to ? `${from} ${to}` : `${to} ${from}`, [from, to]));
    if (ionic && ends.length >= 4) {
      const points = ends.map((end) => images[end].xyz);
      faces.push(...hullFaces(points).map((face) => ({ symbol, points: face.map((k) => points[k]), center: xyz })));
    }
  });
  return { cell, repeat, atoms: images, bonds: [...bonds.values()], faces };
}
