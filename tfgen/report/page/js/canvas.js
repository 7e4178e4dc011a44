// Elements and pictures: sharp canvases that follow the colour scheme, images of 28x28, curves, points.
// A picture is painted by show(canvas, paint); it is painted again when the screen's density, the
// colour scheme or the language changes: paint asks for colours and words (t) itself.

const SIDE = 28;
// Inferno of matplotlib at equal steps: its lightness rises all the way, so that it reads in grey, and for all eyes.
const SEQUENTIAL = "#000004 #1b0c41 #4a0c6b #781c6d #a52c60 #cf4446 #ed6925 #fb9b06 #f7d13d #fcffa4".split(" ");
// Blue, over black, to orange: negative, 0, positive.
const DIVERGING = ["#6cc5ff", "#2b7fc4", "#0d3a66", "#000000", "#6b3300", "#c8650a", "#ffb066"];
// Found by search: any two are at least 20 apart in CIELAB as the three kinds of colour-blind see them, and 33 as the
// others do; each has a contrast of 3 to its ground.
const DIGIT_COLOURS = {
  light: ["#0019e8", "#610000", "#9278e0", "#cb0282", "#bd3bff", "#4c90b2", "#580174", "#aa6221", "#6e5b3b", "#004341"],
  dark: ["#8459ff", "#ff8278", "#b9aab4", "#9ab3ff", "#78fcc2", "#ec0000", "#9d55aa", "#e8b556", "#cdff00", "#e82873"],
};

const darkScheme = matchMedia("(prefers-color-scheme: dark)");
const paints = new Map();
const colours = new Map();

/** Returns an element of attributes ("text" and "label" are keys of text.json, "on..." functions) and children. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") setText(made, value);
    else if (name === "label") setLabel(made, value);
    else if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/** Returns a function that asks for the callback to be called before the next frame, at most once a frame. */
function onFrame(callback) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      callback();
    });
  };
}

/** Calls the callback once, when the element is first on the screen or within half a screen of it. */
function whenSeen(target, callback) {
  const observer = new IntersectionObserver(
    (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      callback();
    },
    { rootMargin: "50%" },
  );
  observer.observe(target);
}

/**
 * Returns a function that asks for an update: before the next frame if the element is on the screen or nearly so, or
 * when it comes there. At most one a frame, however often it is asked for: for all that computes.
 */
function onFrameSeen(target, update) {
  let [near, due] = [false, false];
  const run = onFrame(() => {
    if (!near || !due) return;
    due = false;
    update();
  });
  const observer = new IntersectionObserver(
    (entries) => {
      near = entries[entries.length - 1].isIntersecting;
      run();
    },
    { rootMargin: "25%" },
  );
  observer.observe(target);
  return () => {
    due = true;
    run();
  };
}

/** Returns whether the reader asks for nothing to move by itself. */
function reducedMotion() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/** Returns the colour of a custom property of style.css, such as "--plot-1", in the present scheme. */
function colour(name) {
  if (!colours.has(name)) colours.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  return colours.get(name);
}

/** Returns the ten colours of the digits in the present scheme. */
function digitColours() {
  return DIGIT_COLOURS[darkScheme.matches ? "dark" : "light"];
}

/** Returns a number with so many decimals, its minus sign a minus sign. */
function decimals(number, count) {
  return number
    .toFixed(count)
    .replace(/^-(?=0(\.0*)?$)/, "")
    .replace("-", "\u2212");
}

/**
 * Returns a canvas of so many CSS pixels, an image with the name of a key. Where there is less room it is narrower and
 * painted anew: a square stays a square, any other keeps its height. Its present size is in dataset.width and height.
 */
function createCanvas(width, height, labelKey) {
  const canvas = element("canvas", { role: "img", label: labelKey });
  const form = width === height ? "aspect-ratio: 1" : `height: ${height}px`;
  canvas.style.cssText = `width: ${width}px; max-width: 100%; ${form}`;
  Object.assign(canvas.dataset, { width, height });
  sizes.observe(canvas);
  return canvas;
}

/** Gives canvases the width that the page has for them. */
const sizes = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    const { width, height } = target.dataset;
    if (!contentRect.width || Math.abs(contentRect.width - width) < 0.5) continue;
    target.dataset.width = contentRect.width;
    if (width === height) target.dataset.height = contentRect.width;
    if (paints.has(target)) repaint(target);
  }
});

/** Gives a canvas as many pixels as the screen has for it. */
function fitCanvas(canvas) {
  const [width, height] = [canvas.dataset.width, canvas.dataset.height].map((size) =>
    Math.round(size * devicePixelRatio),
  );
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
}

/** Paints a canvas by paint(context, width, height), in CSS pixels, and again whenever it has to look otherwise. */
function show(canvas, paint) {
  paints.set(canvas, paint);
  repaint(canvas);
}

function repaint(canvas) {
  fitCanvas(canvas);
  const [width, height] = [Number(canvas.dataset.width), Number(canvas.dataset.height)];
  const context = canvas.getContext("2d");
  context.setTransform(canvas.width / width, 0, 0, canvas.height / height, 0, 0);
  context.clearRect(0, 0, width, height);
  paints.get(canvas)(context, width, height);
}

/** Returns a pointer event's place in a canvas as {x, y}, in its CSS pixels. */
function pointIn(canvas, event) {
  const box = canvas.getBoundingClientRect();
  return {
    x: ((event.clientX - box.left) / box.width) * canvas.dataset.width,
    y: ((event.clientY - box.top) / box.height) * canvas.dataset.height,
  };
}

/** Watches the colour scheme and the density of the screen, and repaints what they change. */
function startCanvas() {
  const repaintAll = () => {
    for (const canvas of paints.keys()) {
      if (canvas.isConnected) repaint(canvas);
      else paints.delete(canvas);
    }
  };
  onLanguage(repaintAll);
  darkScheme.addEventListener("change", () => {
    colours.clear();
    repaintAll();
  });
  let density = devicePixelRatio;
  const followDensity = () => {
    if (devicePixelRatio === density) return;
    density = devicePixelRatio;
    repaintAll();
  };
  // Zooming resizes; a window that goes to another screen changes the answer to this query.
  addEventListener("resize", followDensity);
  matchMedia(`(resolution: ${density}dppx)`).addEventListener("change", followDensity);
}

/** Returns [red, green, blue] of "#rrggbb". */
function rgb(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

/** Returns a map's colour at a place in [0, 1] as [red, green, blue], between its two nearest. */
function colourAt(map, place) {
  const at = Math.min(Math.max(place, 0), 1) * (map.length - 1);
  const low = Math.min(Math.floor(at), map.length - 2);
  const [a, b] = [rgb(map[low]), rgb(map[low + 1])];
  return a.map((value, i) => value + (at - low) * (b[i] - value));
}

/** Returns 256 colours of a map, (256 * 3). */
function colourTable(map) {
  return Uint8ClampedArray.from({ length: 768 }, (_, i) => colourAt(map, Math.floor(i / 3) / 255)[i % 3]);
}

const GREYS = colourTable(["#000000", "#ffffff"]);
const SEQUENTIAL_TABLE = colourTable(SEQUENTIAL);
const DIVERGING_TABLE = colourTable(DIVERGING);
let small = null;

/**
 * Paints 28x28 pixels over the whole of a canvas, without smoothing: in [0, 1] white on black, in both schemes;
 * heat: true colours [0, 1] from black to yellow, heat: "diverging" [-1, 1] from blue over black to orange.
 */
function drawImage28(canvas, pixels, { heat = false } = {}) {
  show(canvas, (context, width, height) => paintImage28(context, pixels, 0, 0, width, height, heat));
}

/** Paints 28x28 pixels at a place of a context, as drawImage28 does. */
function paintImage28(context, pixels, x, y, width, height, heat = false) {
  small = small || createPixels(SIDE);
  const { image } = small;
  const table = heat === "diverging" ? DIVERGING_TABLE : heat ? SEQUENTIAL_TABLE : GREYS;
  for (let i = 0; i < pixels.length; i++) {
    const place = heat === "diverging" ? (pixels[i] + 1) / 2 : pixels[i];
    const index = 3 * Math.round(255 * Math.min(Math.max(place, 0), 1));
    for (let channel = 0; channel < 3; channel++) image.data[4 * i + channel] = table[index + channel];
  }
  small.context.putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(small.canvas, x, y, width, height);
}

/** Returns {canvas, context, image} of side x side pixels, opaque black, to be filled and drawn elsewhere, larger. */
function createPixels(side) {
  const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const image = context.createImageData(side, side);
  for (let i = 3; i < image.data.length; i += 4) image.data[i] = 255;
  return { canvas, context, image };
}

const MARGIN = { left: 44, right: 10, top: 10, bottom: 34 };

/**
 * Returns the plot's scales of a canvas for ranges x and y, [low, high] each: toX, toY from a value to CSS pixels,
 * fromX, fromY back, and the plot's box {left, right, top, bottom}.
 */
function plotScales(canvas, x, y, margin = MARGIN) {
  const box = {
    left: margin.left,
    right: canvas.dataset.width - margin.right,
    top: margin.top,
    bottom: canvas.dataset.height - margin.bottom,
  };
  const linear = (from, to) => (value) => to[0] + ((value - from[0]) / (from[1] - from[0])) * (to[1] - to[0]);
  const [horizontal, vertical] = [
    [box.left, box.right],
    [box.bottom, box.top],
  ];
  return {
    ...{ toX: linear(x, horizontal), toY: linear(y, vertical) },
    ...{ fromX: linear(horizontal, x), fromY: linear(vertical, y), box },
  };
}

/** Returns about `count` round numbers in [low, high], 1, 2 or 5 times a power of ten apart. */
function roundTicks([low, high], count = 5) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const ticks = Math.floor(high / step + 1e-9) - first + 1;
  // Without the rounding of the product, such as 0.30000000000000004.
  return Array.from({ length: ticks }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** Paints axes with ticks, and their names, by keys of text.json. */
function paintAxes(context, scales, { x, y, xKey = null, yKey = null }) {
  const { box, toX, toY } = scales;
  context.font = "12px system-ui, sans-serif";
  context.lineWidth = 1;
  context.strokeStyle = colour("--line");
  context.fillStyle = colour("--muted");
  context.strokeRect(box.left, box.top, box.right - box.left, box.bottom - box.top);
  context.textAlign = "center";
  context.textBaseline = "top";
  for (const tick of roundTicks(x, Math.max(2, (box.right - box.left) / 70))) {
    paintLine(context, [toX(tick), toX(tick)], [box.bottom, box.bottom + 4]);
    context.fillText(String(tick).replace("-", "\u2212"), toX(tick), box.bottom + 6);
  }
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const tick of roundTicks(y, Math.max(2, (box.bottom - box.top) / 45))) {
    paintLine(context, [box.left - 4, box.left], [toY(tick), toY(tick)]);
    context.fillText(String(tick).replace("-", "\u2212"), box.left - 6, toY(tick));
  }
  context.textBaseline = "bottom";
  if (xKey) context.fillText(t(xKey), box.right, box.bottom + 33);
  context.textAlign = "left";
  context.textBaseline = "top";
  if (yKey) context.fillText(t(yKey), box.left + 6, box.top + 4);
}

/** Paints a line through points in CSS pixels. */
function paintLine(context, xs, ys) {
  context.beginPath();
  for (let i = 0; i < xs.length; i++) context.lineTo(xs[i], ys[i]);
  context.stroke();
}

/**
 * Paints curves into a canvas and returns the scales, which follow its size. plot: {x and y: [low, high]; xKey, yKey;
 * curves: [{xs, ys, colour: "--plot-1" or "#...", width, dash: [4, 4], fill: true (down to 0)}]; and, painted last,
 * decorate(context, scales)}.
 */
function plotCurves(canvas, plot) {
  const scales = {};
  show(canvas, (context) => {
    Object.assign(scales, plotScales(canvas, plot.x, plot.y));
    paintAxes(context, scales, plot);
    inBox(context, scales, () => plot.curves.forEach((curve) => paintCurve(context, scales, curve)));
    if (plot.decorate) plot.decorate(context, scales);
  });
  return scales;
}

/** Paints one curve of plotCurves. */
function paintCurve(context, { toX, toY }, curve) {
  const paint = curve.colour.startsWith("--") ? colour(curve.colour) : curve.colour;
  const [xs, ys] = [Array.from(curve.xs, toX), Array.from(curve.ys, toY)];
  context.strokeStyle = context.fillStyle = paint;
  context.lineWidth = curve.width || 2;
  context.setLineDash(curve.dash || []);
  paintLine(context, xs, ys);
  context.setLineDash([]);
  if (!curve.fill || !xs.length) return;
  context.globalAlpha = 0.2;
  context.beginPath();
  context.moveTo(xs[0], toY(0));
  for (let i = 0; i < xs.length; i++) context.lineTo(xs[i], ys[i]);
  context.lineTo(xs[xs.length - 1], toY(0));
  context.fill();
  context.globalAlpha = 1;
}

/** Calls paint with what lies outside the plot's box cut off. */
function inBox(context, { box }, paint) {
  context.save();
  context.beginPath();
  context.rect(box.left, box.top, box.right - box.left, box.bottom - box.top);
  context.clip();
  paint();
  context.restore();
}

/** Paints points: small squares, the fastest that a canvas has. colours: of digitColours(), a place each, or null. */
function paintPoints(context, { toX, toY }, { xs, ys, colours: places = null, radius = 1.25, alpha = 0.7 }) {
  const palette = digitColours();
  context.globalAlpha = alpha;
  context.fillStyle = colour("--plot-1");
  for (let i = 0; i < xs.length; i++) {
    if (places) context.fillStyle = palette[places[i]];
    context.fillRect(toX(xs[i]) - radius, toY(ys[i]) - radius, 2 * radius, 2 * radius);
  }
  context.globalAlpha = 1;
}
