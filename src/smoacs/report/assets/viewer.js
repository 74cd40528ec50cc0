// A crystal on a plain 2D canvas: works without WebGL. Parts are painted from back to front.

const BALL = 0.42; // radius of a ball in covalent radii
const STICK = 0.09; // radius of a bond, Å

function makeViewer(canvas) {
  const context = canvas.getContext("2d");
  /** @type {{ rotation: number[][], zoom: number, scene: any, bonds: boolean, faces: boolean }} */
  const view = { rotation: [], zoom: 1, scene: null, bonds: true, faces: true };
  const balls = new Map();
  let asked = false;
  /** @type {number[] | null} */
  let held = null; // where the pointer was while it drags
  let placed = []; // balls on the canvas, front last: for the pointer

  // c upwards, a to the right and a little towards the reader.
  function reset() {
    view.rotation = multiply(turn(0, 0.28), multiply(turn(1, -0.42), [[1, 0, 0], [0, 0, 1], [0, -1, 0]]));
    view.zoom = 1;
    paint();
  }

  function ball(symbol) {
    if (!balls.has(symbol)) {
      const sprite = document.createElement("canvas");
      sprite.width = sprite.height = 128;
      const c = /** @type {CanvasRenderingContext2D} */ (sprite.getContext("2d"));
      const glow = c.createRadialGradient(46, 42, 6, 64, 64, 63);
      const { color } = data.elements[symbol];
      glow.addColorStop(0, mix(color, "#ffffff", 0.75));
      glow.addColorStop(0.35, color);
      glow.addColorStop(1, mix(color, "#000000", 0.5));
      c.fillStyle = glow;
      c.beginPath();
      c.arc(64, 64, 62, 0, 2 * Math.PI);
      c.fill();
      balls.set(symbol, sprite);
    }
    return balls.get(symbol);
  }

  function paint() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  }

  function draw() {
    const { width, height } = canvas.getBoundingClientRect();
    const ratio = Math.min(2, devicePixelRatio || 1);
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    placed = [];
    if (!view.scene || !width) return;
    const { cell, repeat, atoms, bonds, faces } = view.scene;
    const middle = toXyz(cell, [repeat / 2, repeat / 2, repeat / 2]);
    const extent = Math.max(2, ...atoms.map(({ xyz, symbol }) => norm(minus(xyz, middle)) + BALL * radiusOf(symbol)));
    const distance = 6 * extent;
    const scale = (0.53 * Math.min(width, height) * view.zoom) / extent;
    const project = (xyz) => {
      const [x, y, z] = apply(view.rotation, minus(xyz, middle));
      const near = distance / (distance - z);
      return { x: width / 2 + x * scale * near, y: height / 2 - y * scale * near, z, size: scale * near };
    };
    const ends = atoms.map(({ xyz }) => project(xyz));
    const parts = [
      ...atoms.map((atom, i) => ({ z: ends[i].z, draw: () => drawBall(atom, ends[i]) })),
      ...(view.bonds ? bonds.flatMap(([i, j]) => halfBonds(atoms, i, j, project)) : []),
      ...(view.faces ? faces.map((face) => polygon(face, project)) : []),
      ...cellEdges(cell, repeat, project),
    ];
    parts.sort((a, b) => a.z - b.z).forEach((part) => part.draw());
    drawAxes(cell, height);
  }

  function drawBall(atom, { x, y, size }) {
    const r = BALL * radiusOf(atom.symbol) * size;
    context.drawImage(ball(atom.symbol), x - r, y - r, 2 * r, 2 * r);
    placed.push({ atom, x, y, r });
  }

  function line(from, to, color, width) {
    context.strokeStyle = color;
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x, to.y);
    context.stroke();
  }

  // Each half has the colour of its atom and begins at the surface of the ball.
  function halfBonds(atoms, i, j, project) {
    const half = (atom, other) => {
      const way = minus(other.xyz, atom.xyz);
      const start = (0.9 * BALL * radiusOf(atom.symbol)) / norm(way);
      const [from, to] = [Math.min(start, 0.5), 0.5].map((t) => project(add(atom.xyz, way.map((x) => x * t))));
      const { color } = data.elements[atom.symbol];
      const width = 2 * STICK * (from.size + to.size) * 0.5;
      const paintHalf = () => {
        context.lineCap = "butt";
        line(from, to, mix(color, "#000000", 0.45), width);
        line(from, to, color, width * 0.62);
      };
      return { z: (from.z + to.z) / 2, draw: paintHalf };
    };
    return [half(atoms[i], atoms[j]), half(atoms[j], atoms[i])];
  }

  function polygon({ symbol, points, center }, project) {
    const corners = points.map(project);
    const { color } = data.elements[symbol];
    const behind = corners.reduce((sum, p) => sum + p.z, 0) / corners.length;
    const paintFace = () => {
      context.beginPath();
      corners.forEach(({ x, y }) => context.lineTo(x, y));
      context.closePath();
      context.fillStyle = alpha(color, behind > project(center).z ? 0.2 : 0.32);
      context.fill();
      context.lineJoin = "round";
      context.strokeStyle = alpha(mix(color, "#000000", 0.3), 0.55);
      context.lineWidth = 1;
      context.stroke();
    };
    return { z: behind, draw: paintFace };
  }

  // Edges in pieces, so that atoms in front of a part of an edge hide that part only.
  function cellEdges(cell, repeat, project) {
    const ink = getComputedStyle(canvas).color;
    const edges = [];
    for (const k of [0, 1, 2])
      for (let p = 0; p <= repeat; p += 1)
        for (let q = 0; q <= repeat; q += 1) {
          const from = [0, 0, 0];
          from[(k + 1) % 3] = p;
          from[(k + 2) % 3] = q;
          const at = (t) => project(toXyz(cell, from.map((f, axis) => (axis === k ? t * repeat : f))));
          const pieces = 10 * repeat;
          for (let i = 0; i < pieces; i += 1) {
            const [start, end] = [at(i / pieces), at((i + 1) / pieces)];
            edges.push({ z: (start.z + end.z) / 2, draw: () => {
              context.lineCap = "round";
              line(start, end, ink, 1.3);
            } });
          }
        }
    return edges;
  }

  function drawAxes(cell, height) {
    const origin = { x: 44, y: height - 44 };
    const arrows = cell.map((vector, k) => ({ way: apply(view.rotation, vector.map((x) => x / norm(vector))), name: "abc"[k] }));
    context.font = "italic 13px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineCap = "round";
    arrows.sort((p, q) => p.way[2] - q.way[2]);
    for (const { way, name } of arrows) {
      const color = { a: "#d64545", b: "#2f9e58", c: "#3b76d6" }[name];
      line(origin, { x: origin.x + 24 * way[0], y: origin.y - 24 * way[1] }, color, 2.4);
      context.fillStyle = color;
      context.fillText(name, origin.x + 35 * way[0], origin.y - 35 * way[1]);
    }
  }

  // The ball under the pointer, front ones first.
  function atomAt(event) {
    const box = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    return placed.findLast((p) => Math.hypot(p.x - x, p.y - y) <= p.r)?.atom ?? null;
  }

  const rotate = (dx, dy) => {
    view.rotation = multiply(multiply(turn(1, dx), turn(0, dy)), view.rotation);
    paint();
  };
  const zoom = (factor) => {
    view.zoom = Math.min(8, Math.max(0.3, view.zoom * factor));
    paint();
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    held = [event.clientX, event.clientY];
    hideTip();
  });
  canvas.addEventListener("pointermove", (event) => {
    const here = [event.clientX, event.clientY];
    if (event.buttons && held) {
      rotate(0.01 * (here[0] - held[0]), 0.01 * (here[1] - held[1]));
      held = here;
      return undefined;
    }
    const atom = atomAt(event);
    if (!atom) return hideTip();
    const state = atom.state === null ? "" : ` ${atom.state > 0 ? "+" : atom.state < 0 ? "−" : ""}${Math.abs(atom.state)}`;
    const kind = data.sites.length > 1 ? `, site ${atom.site}` : "";
    const where = atom.frac.map((f) => numberText(f, 3)).join(", ");
    return showTip(event, h("strong", {}, `${atom.symbol}${state}`), kind, h("div", {}, `at ${where} of the cell`));
  });
  canvas.addEventListener("pointerup", () => {
    held = null;
  });
  canvas.addEventListener("pointerleave", hideTip);
  // The page scrolls over the canvas until it has the focus.
  canvas.addEventListener("wheel", (event) => {
    if (document.activeElement !== canvas && !event.ctrlKey) return;
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * 0.0015));
  }, { passive: false });
  canvas.addEventListener("dblclick", reset);
  canvas.addEventListener("keydown", (event) => {
    const keys = {
      ArrowLeft: () => rotate(-0.12, 0),
      ArrowRight: () => rotate(0.12, 0),
      ArrowUp: () => rotate(0, -0.12),
      ArrowDown: () => rotate(0, 0.12),
      "+": () => zoom(1.2),
      "-": () => zoom(1 / 1.2),
      0: reset,
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  new ResizeObserver(paint).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  reset();
  return {
    show: (scene) => {
      view.scene = scene;
      paint();
    },
    set: (name, on) => {
      view[name] = on;
      paint();
    },
    zoom,
    reset,
  };
}

// 3 × 3 matrices and colours.

const apply = (m, v) => m.map((row) => dot(row, v));
const multiply = (m, n) => m.map((row) => [0, 1, 2].map((k) => row[0] * n[0][k] + row[1] * n[1][k] + row[2] * n[2][k]));

// Rotation about x (axis 0) or y (axis 1).
function turn(axis, angle) {
  const [c, d] = [Math.cos(angle), Math.sin(angle)];
  return axis === 0 ? [[1, 0, 0], [0, c, -d], [0, d, c]] : [[c, 0, d], [0, 1, 0], [-d, 0, c]];
}

const channels = (color) => [1, 3, 5].map((k) => parseInt(color.slice(k, k + 2), 16));
function mix(from, to, share) {
  const [a, b] = [channels(from), channels(to)];
  return `#${a.map((x, k) => Math.round(x + (b[k] - x) * share).toString(16).padStart(2, "0")).join("")}`;
}
const alpha = (color, opacity) => `rgba(${channels(color).join(",")},${opacity})`;
