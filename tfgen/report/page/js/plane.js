// Two planes of codes: an autoencoder's, which has holes, and a VAE's, which its prior fills. The point under the mouse
// is decoded at once; a press, a finger or the arrows leave the point where they have brought it, and in the address.

const PLANE_SIZE = 330; // CSS pixels
const PLANE_GRID = 14; // decoded images along each side of a plane
const PLANE_GRID_AT_ONCE = 6; // decoded in one frame
const PLANE_STEPS = 60; // steps of an arrow key across a plane
const PLANE_LENS = { size: 112, reach: 0.3 }; // CSS pixels; of the code to each side of the drawing's

// What a plane is made of. range: of both axes, or null for that of the codes; pixels: of the decoder's output.
const PLANES = [
  {
    id: "autoencoder",
    codes: "clustering-autoencoder",
    decoder: "clustering-autoencoder/decoder",
    range: null,
    pixels: (output) => output,
    encode: (x) => ({ mean: forward(network("clustering-autoencoder/encoder"), x), logVar: null }),
  },
  {
    id: "vae",
    codes: "vae-2d",
    decoder: "vae-2d/decoder",
    range: [-3, 3],
    pixels: (logits) => logits.map(sigmoid),
    // Its codes are those of zeros and ones too.
    encode(x) {
      const [mean, logVar] = ["z_mean", "z_log_var"].map((name) => forward(network(`vae-2d/${name}`), binarise(x)));
      return { mean, logVar };
    },
  },
];

/** Fills the live part in its body. */
function startPlane(body) {
  const planes = PLANES.filter((plane) => plane.codes in pageData().codes).map(createPlane);
  const points = createToggle("plane_points", true, () => {
    writeState("plane-points", isPressed(points) ? null : "0");
    for (const plane of planes) plane.pointsCanvas.hidden = !isPressed(points);
  });
  const grid = createToggle("plane_grid", false, () => {
    writeState("plane-grid", isPressed(grid) ? "1" : null);
    planes.forEach((plane) => plane.updateGrid(isPressed(grid)));
  });
  const tools = element("div", { class: "tools", role: "group", label: "plane_shown" }, points, grid);
  const restore = () => {
    planes.forEach(restorePoint);
    const wanted = readState();
    if ((wanted["plane-points"] !== "0") !== isPressed(points)) points.click();
    if ((wanted["plane-grid"] === "1") !== isPressed(grid)) grid.click();
  };
  const both = element("div", { class: "planes" }, ...planes.map((plane) => plane.element));
  const legend = createDigitLegend();
  body.append(tools, legend, both, element("p", { class: "hint", text: "plane_help" }), createPadDrawer());
  darkScheme.addEventListener("change", () => colourLegend(legend));
  onState(restore);
  whenSeen(body, () => {
    planes.forEach(fillPlane);
    planes.forEach((plane) => plane.updateGrid(isPressed(grid)));
    restore();
  });
}

/** Returns a button that stays pressed, which calls the callback after each change. */
function createToggle(key, pressed, callback) {
  const button = element("button", { type: "button", text: key, "aria-pressed": String(pressed) });
  button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", String(!isPressed(button)));
    callback();
  });
  return button;
}

function isPressed(button) {
  return button.getAttribute("aria-pressed") === "true";
}

/** Returns a pad in a drawer, made when it is first opened: to draw where the drawing's code is seen. */
function createPadDrawer() {
  const drawer = element("details", { class: "drawer" }, element("summary", { text: "plane_draw" }));
  const fill = () => {
    drawer.append(createPad(224));
    showPapers();
  };
  drawer.addEventListener("toggle", fill, { once: true });
  return drawer;
}

/** Returns the labels of the codes in order, each once; none where they are more than the digits' ten colours. */
function colouredLabels() {
  const all = Object.values(pageData().codes).flatMap(({ labels }) => (labels ? [...decodeBase64(labels)] : []));
  const labels = [...new Set(all)].sort((a, b) => a - b);
  return labels.length <= 10 ? labels : [];
}

/** Returns the labels, each beside its colour; hidden where the points have none. */
function createDigitLegend() {
  const entry = (label) => element("li", {}, element("i", { "aria-hidden": "true" }), String(label));
  const legend = element("ul", { class: "legend", label: "plane_legend" }, ...colouredLabels().map(entry));
  legend.hidden = !legend.children.length;
  colourLegend(legend);
  return legend;
}

function colourLegend(legend) {
  legend.querySelectorAll("i").forEach((mark, i) => {
    mark.style.background = digitColours()[i];
  });
}

/** Returns a plane with its elements: three canvases over one another, the decoded digit, and the numbers. */
function createPlane(kind) {
  const layers = [0, 1, 2].map(() => createCanvas(PLANE_SIZE, PLANE_SIZE));
  const [gridCanvas, pointsCanvas, marksCanvas] = layers;
  layers.slice(0, 2).forEach((canvas) => canvas.setAttribute("aria-hidden", "true"));
  const decodedCanvas = createCanvas(112, 112, "plane_decoded");
  const numbers = element("p", { class: "numbers", id: `plane-${kind.id}-numbers` });
  const own = element("p", { class: "numbers" });
  const said = element("p", { class: "unseen", role: "status" });
  marksCanvas.tabIndex = 0;
  marksCanvas.setAttribute("role", "application");
  marksCanvas.setAttribute("aria-describedby", numbers.id);
  setLabel(marksCanvas, `plane_${kind.id}_canvas`);
  const plane = { ...kind, gridCanvas, pointsCanvas, marksCanvas, decodedCanvas, numbers, own, say: sayLater(said) };
  Object.assign(plane, { point: null, hover: null, posterior: null, cells: [], gridShown: false });
  Object.assign(plane, { update() {}, updateGrid() {} });
  plane.toOwn = element("button", { type: "button", text: "plane_to_own", onclick: () => pointAtOwn(plane) });
  plane.element = element(
    "div",
    { class: "plane", role: "group", label: `plane_${kind.id}` },
    element("h4", { text: `plane_${kind.id}` }),
    element("div", { class: "layers" }, ...layers),
    element("div", { class: "decoded" }, decodedCanvas, element("div", {}, numbers, own, plane.toOwn)),
    said,
  );
  if (kind.range) {
    plane.lens = createCanvas(PLANE_LENS.size, PLANE_LENS.size, "plane_lens");
    decodedCanvas.after(plane.lens);
    show(plane.lens, (context, width) => paintLens(context, width, plane));
  }
  return plane;
}

/** Reads the codes of a plane, paints them, and lets the plane answer. */
function fillPlane(plane) {
  const { points, labels } = pageData().codes[plane.codes];
  const codes = decodeFloat32(points);
  const [xs, ys] = [0, 1].map((axis) => codes.filter((_, i) => i % 2 === axis));
  plane.ranges = plane.range ? [plane.range, plane.range] : [xs, ys].map(rangeOf);
  const [x, y] = plane.ranges;
  const known = colouredLabels();
  const places = labels && known.length ? decodeBase64(labels).map((label) => known.indexOf(label)) : null;
  const painted = { xs, ys, colours: places, radius: 1, alpha: 0.6 };
  show(plane.pointsCanvas, (context) => {
    const scales = scalesOf(plane, plane.pointsCanvas);
    inBox(context, scales, () => paintPoints(context, scales, painted));
  });
  show(plane.gridCanvas, (context) => {
    if (plane.gridShown) plane.cells.forEach((pixels, i) => paintCell(context, plane, pixels, i));
    paintAxes(context, scalesOf(plane, plane.gridCanvas), { x, y });
  });
  show(plane.marksCanvas, (context) => paintMarks(context, plane));
  plane.update = onFrameSeen(plane.element, () => showPoint(plane));
  const showOwn = onFrameSeen(plane.element, () => placeDrawing(plane));
  const decodeGrid = onFrameSeen(plane.element, () => {
    decodeCells(plane);
    if (plane.gridShown && plane.cells.length < PLANE_GRID ** 2) decodeGrid();
    // The axes over the images, as wherever it is painted anew.
    else repaint(plane.gridCanvas);
  });
  plane.updateGrid = (shown) => {
    plane.gridShown = shown;
    repaint(plane.gridCanvas);
    plane.pointsCanvas.classList.toggle("faint", shown);
    decodeGrid();
  };
  onDrawing(showOwn);
  onLanguage(() => writeOwn(plane));
  showOwn();
  listenOnPlane(plane);
}

const PLANE_MARGIN = { left: 34, right: 6, top: 10, bottom: 30 }; // what is left is a square

/** Returns the scales of one of a plane's canvases at its present size. */
function scalesOf({ ranges: [x, y] }, canvas) {
  return plotScales(canvas, x, y, PLANE_MARGIN);
}

/** Returns [low, high] of values with a little room at both ends. */
function rangeOf(values) {
  const [low, high] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
  const room = 0.03 * (high - low || 1);
  return [low - room, high + room];
}

/** Decodes the next few images of a plane's grid, and paints them. */
function decodeCells(plane) {
  const context = plane.gridCanvas.getContext("2d");
  for (let i = 0; i < PLANE_GRID_AT_ONCE && plane.gridShown && plane.cells.length < PLANE_GRID ** 2; i++) {
    const { x, y, size } = cellOf(plane, plane.cells.length);
    const { fromX, fromY } = scalesOf(plane, plane.gridCanvas);
    const code = [fromX(x + size / 2), fromY(y + size / 2)];
    plane.cells.push(plane.pixels(forward(network(plane.decoder), code)));
    paintCell(context, plane, plane.cells[plane.cells.length - 1], plane.cells.length - 1);
  }
}

/** Returns where the i-th image of the grid stands, row by row, in CSS pixels. */
function cellOf(plane, i) {
  const { box } = scalesOf(plane, plane.gridCanvas);
  const size = (box.right - box.left) / PLANE_GRID;
  return { x: box.left + (i % PLANE_GRID) * size, y: box.top + Math.floor(i / PLANE_GRID) * size, size };
}

function paintCell(context, plane, pixels, i) {
  const { x, y, size } = cellOf(plane, i);
  paintImage28(context, pixels, x, y, size, size);
}

/** Lets mouse, finger and arrows move a plane's point. */
function listenOnPlane(plane) {
  const { marksCanvas: canvas } = plane;
  let pressed = false;
  const under = (event) => {
    const place = pointIn(canvas, event);
    const { fromX, fromY } = scalesOf(plane, canvas);
    return inRanges(plane, [fromX(place.x), fromY(place.y)]);
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    pressed = true;
    canvas.setPointerCapture(event.pointerId);
    movePoint(plane, under(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (pressed) return movePoint(plane, under(event));
    if (event.pointerType !== "mouse") return;
    plane.hover = under(event);
    plane.update();
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (pressed = false));
  canvas.addEventListener("pointerleave", () => {
    plane.hover = null;
    plane.update();
  });
  canvas.addEventListener("keydown", (event) => {
    const arrow = ARROWS[event.key];
    if (!arrow || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const step = (event.shiftKey ? 5 : 1) / PLANE_STEPS;
    const [x, y] = plane.ranges.map(([low, high]) => step * (high - low));
    movePoint(plane, inRanges(plane, [plane.point[0] + arrow[0] * x, plane.point[1] - arrow[1] * y]));
  });
}

function inRanges({ ranges }, point) {
  return point.map((value, axis) => Math.min(Math.max(value, ranges[axis][0]), ranges[axis][1]));
}

/** Leaves a plane's point at a place and writes it into the address. */
function movePoint(plane, point) {
  plane.point = point;
  plane.hover = null;
  writeState(`plane-${plane.id}`, point.map((value) => Number(value.toPrecision(4))).join(","));
  plane.update();
}

/** Takes a plane's point from the address, or its middle. */
function restorePoint(plane) {
  if (!plane.ranges) return;
  const words = (readState()[`plane-${plane.id}`] || "").split(",");
  const point = words.map(Number);
  const given = words.length === 2 && words.every((word) => word.trim()) && point.every(Number.isFinite);
  plane.point = given ? inRanges(plane, point) : plane.ranges.map(([low, high]) => (low + high) / 2);
  plane.update();
}

/** Moves a plane's point to the code of the drawing. */
function pointAtOwn(plane) {
  if (plane.posterior) movePoint(plane, inRanges(plane, [...plane.posterior.mean]));
}

/** Decodes a plane's point and shows it. */
function showPoint(plane) {
  const point = plane.hover || plane.point;
  const decoded = String(point);
  if (plane.decoded !== decoded) {
    plane.decoded = decoded;
    drawImage28(plane.decodedCanvas, plane.pixels(forward(network(plane.decoder), point)));
  }
  repaint(plane.marksCanvas);
  const values = { code: codeText(plane, point) };
  setText(plane.numbers, "plane_point", values);
  // Not at every step of the mouse.
  plane.say("plane_point", values);
}

/** Encodes the drawing and shows where it falls. */
function placeDrawing(plane) {
  const x = currentDrawing();
  plane.posterior = hasInk(x) ? plane.encode(x) : null;
  plane.toOwn.disabled = !plane.posterior;
  repaint(plane.marksCanvas);
  if (plane.lens) repaint(plane.lens);
  writeOwn(plane);
}

function writeOwn({ own, posterior, ...plane }) {
  if (!posterior) return void (own.textContent = t("plane_own_none"));
  const { mean, logVar } = posterior;
  if (!logVar) return void (own.textContent = t("plane_own_code", { code: codeText(plane, mean) }));
  const { radiusX, radiusY } = posteriorEllipse(mean, logVar, 1);
  const deviations = [radiusX, radiusY].map((radius) => decimals(radius, 2)).join(", ");
  own.textContent = t("plane_own_posterior", { code: codeText(plane, mean), deviations });
}

/** Returns a code as text, with as many decimals as the plane's size calls for. */
function codeText({ ranges }, code) {
  const places = ranges[0][1] - ranges[0][0] > 20 ? 1 : 2;
  return `(${decimals(code[0], places)}, ${decimals(code[1], places)})`;
}

/** Paints the drawing's code with its ellipses, and the point. */
function paintMarks(context, plane) {
  const scales = scalesOf(plane, plane.marksCanvas);
  const { posterior } = plane;
  inBox(context, scales, () => {
    if (posterior) paintOwn(context, scales, posterior);
  });
  const point = plane.hover || plane.point;
  if (!point) return;
  const [x, y] = [scales.toX(point[0]), scales.toY(point[1])];
  paintTwice(context, () => {
    context.beginPath();
    for (const [from, to] of [
      [-14, -6],
      [6, 14],
    ]) {
      context.moveTo(x + from, y);
      context.lineTo(x + to, y);
      context.moveTo(x, y + from);
      context.lineTo(x, y + to);
    }
    context.moveTo(x + 6, y);
    context.arc(x, y, 6, 0, 2 * Math.PI);
    context.stroke();
  });
}

/** Paints a drawing's code as a diamond, and around it the posterior at one and two standard deviations. */
function paintOwn(context, { toX, toY }, { mean, logVar }) {
  paintTwice(
    context,
    () => {
      const [x, y] = [toX(mean[0]), toY(mean[1])];
      const r = logVar ? 3 : 6;
      paintLine(context, [x, x + r, x, x - r, x], [y - r, y, y + r, y, y - r]);
      for (const deviations of logVar ? [1, 2] : []) {
        const { radiusX, radiusY } = posteriorEllipse(mean, logVar, deviations);
        context.beginPath();
        context.ellipse(x, y, toX(radiusX) - toX(0), toY(0) - toY(radiusY), 0, 0, 2 * Math.PI);
        context.stroke();
      }
    },
    "--warn",
  );
}

/** Paints what lies around the drawing's posterior, which is narrow, enlarged: how wide on the plane, it says below. */
function paintLens(context, size, { posterior }) {
  const { reach } = PLANE_LENS;
  context.fillStyle = colour("--background");
  context.fillRect(0, 0, size, size);
  context.strokeStyle = colour("--line");
  context.lineWidth = 2;
  context.strokeRect(0, 0, size, size);
  if (posterior) {
    const [x, y] = posterior.mean;
    const scale = size / (2 * reach);
    const scales = { toX: (value) => size / 2 + (value - x) * scale, toY: (value) => size / 2 - (value - y) * scale };
    paintOwn(context, scales, posterior);
  }
  context.font = "12px system-ui, sans-serif";
  context.fillStyle = colour("--muted");
  context.textAlign = "right";
  context.textBaseline = "bottom";
  context.fillText(`\u00b1${reach}`, size - 5, size - 3);
}

/** Paints lines in a colour over a broader ground, to be seen on points and on images. */
function paintTwice(context, paint, name = "--text") {
  for (const [width, line] of [
    [5, "--background"],
    [2, name],
  ]) {
    context.lineWidth = width;
    context.strokeStyle = colour(line);
    paint();
  }
}
