// The drawing of the page: one, shared by all parts. createPad() returns a grid to draw on with test digits.
// Drawn is on a paper finer than MNIST's pixels, which centreDigit brings to MNIST's form. In the address: digit=37, a
// test digit of the page; or draw=..., a drawing's 784 bytes in base64url, each run of zeros as 0 and its length.

const PAPER = 112; // pixels of the paper along each side, 4 to one of MNIST's
const PAPER_PIXEL = PAPER / SIDE;
const BRUSH = 5; // radius of the pen, in pixels of the paper: about as thick as MNIST's strokes
const ERASER = 10;
const SOFT = 3; // width of the brush's edge
const UNDO_STEPS = 40;
const DEFAULT_DIGIT = 20; // the first 2

const drawingCallbacks = [];
const pads = [];
const undoSheets = [];
// pixels: as MNIST, null until asked for after a stroke; digit: the test digit's number or null; paper: the grid's ink.
let sheet = { pixels: new Float32Array(SIDE ** 2), digit: null, paper: new Float32Array(PAPER ** 2) };
let paperPixels = null;
let testDigits = null;

/** Returns the drawing as MNIST has its digits, Float32Array (784), multiples of 1/255 in [0, 1]. Not to be changed. */
function currentDrawing() {
  if (sheet.pixels === null) {
    sheet.pixels = centreDigit(sheet.paper, PAPER, PAPER).map((pixel) => Math.round(255 * pixel) / 255);
  }
  return sheet.pixels;
}

/** Returns whether an image has any ink: nothing else is worth judging. */
function hasInk(pixels) {
  return pixels.some((pixel) => pixel > 0);
}

/** Calls the callback after each change of the drawing, at most once a frame. */
function onDrawing(callback) {
  drawingCallbacks.push(callback);
}

/** Returns the test digits of the page, {images: [Float32Array (784)], labels: [number] or null}. */
function digits() {
  if (testDigits !== null) return testDigits;
  const data = pageData().digits;
  if (data === null) return (testDigits = { images: [], labels: null });
  const all = Float32Array.from(decodeBase64(data.images), (byte) => byte / 255);
  const count = all.length / SIDE ** 2;
  const images = Array.from({ length: count }, (_, i) => all.subarray(i * SIDE ** 2, (i + 1) * SIDE ** 2));
  testDigits = { images, labels: data.labels };
  return testDigits;
}

/** Returns pixels in [0, 1] as text for the address. */
function encodePixels(pixels) {
  const bytes = [];
  for (let i = 0; i < pixels.length; i++) {
    const byte = Math.round(255 * pixels[i]);
    bytes.push(byte);
    if (byte) continue;
    let run = 1;
    while (run < 255 && i + 1 < pixels.length && Math.round(255 * pixels[i + 1]) === 0) [run, i] = [run + 1, i + 1];
    bytes.push(run);
  }
  return btoa(String.fromCharCode(...bytes))
    .replace(/\+/g, "-")
    .replace(/\//g, "_")
    .replace(/=+$/, "");
}

/** Returns the pixels of encodePixels' text, or null if it is none. */
function decodePixels(text) {
  if (!/^[\w-]*$/.test(text) || text.length % 4 === 1) return null;
  const base64 = text.replace(/-/g, "+").replace(/_/g, "/");
  const bytes = decodeBase64(base64.padEnd(Math.ceil(base64.length / 4) * 4, "="));
  const pixels = [];
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i]) pixels.push(bytes[i] / 255);
    else pixels.push(...new Array(bytes[++i] || 0).fill(0));
  }
  return pixels.length === SIDE ** 2 ? Float32Array.from(pixels) : null;
}

/** Returns the paper on which each pixel of an image is a square. */
function paperOf(pixels) {
  const at = (i) => SIDE * Math.floor(Math.floor(i / PAPER) / PAPER_PIXEL) + Math.floor((i % PAPER) / PAPER_PIXEL);
  return Float32Array.from({ length: PAPER ** 2 }, (_, i) => pixels[at(i)]);
}

/** Takes a test digit, a whole number, as the drawing. */
function takeDigit(digit) {
  takeSheet({ pixels: digits().images[digit], digit, paper: paperOf(digits().images[digit]) });
}

/** Takes an image of 784 pixels as the drawing. */
function takePixels(pixels) {
  takeSheet({ pixels, digit: null, paper: paperOf(pixels) });
}

/** Takes a sheet as it is, without a step to undo. */
function takeSheet(next) {
  sheet = next;
  drawingChanged();
}

/** Keeps the sheet for undo: before a change. */
function keepSheet() {
  undoSheets.push({ ...sheet, paper: sheet.paper.slice() });
  if (undoSheets.length > UNDO_STEPS) undoSheets.shift();
}

/** Goes back to the sheet before the last change. Returns whether there was one. */
function undoSheet() {
  if (!undoSheets.length) return false;
  takeSheet(undoSheets.pop());
  return true;
}

/** Makes the paper empty. */
function clearSheet() {
  keepSheet();
  takePixels(new Float32Array(SIDE ** 2));
}

/** Shows a changed drawing everywhere, now; drawingChanged before the next frame. */
function tellDrawing() {
  writeDrawing();
  showPapers();
  for (const callback of drawingCallbacks) callback();
}

const drawingChanged = onFrame(tellDrawing);
const penMoved = onFrame(showPapers);

function writeDrawing() {
  const drawn = sheet.digit === null;
  writeState("digit", drawn || sheet.digit === defaultDigit() ? null : String(sheet.digit));
  writeState("draw", drawn ? encodePixels(currentDrawing()) : null);
}

/** Returns the test digit that the page begins with, or null if it has none. */
function defaultDigit() {
  const count = digits().images.length;
  return count ? Math.min(DEFAULT_DIGIT, count - 1) : null;
}

/** Takes the drawing of the address, or the page's own. */
function restoreDrawing() {
  const { draw, digit } = readState();
  const pixels = draw === undefined ? null : decodePixels(draw);
  if (pixels !== null) return takePixels(pixels);
  const known = /^\d+$/.test(digit) && digits().images[Number(digit)] !== undefined;
  const number = known ? Number(digit) : defaultDigit();
  if (number !== null) takeDigit(number);
}

/** Puts ink on the paper, or takes it off, along a straight stroke between two points, in pixels of the paper. */
function stroke(from, to, erase) {
  const reach = (erase ? ERASER : BRUSH) + SOFT / 2;
  const [left, right] = [Math.min(from.x, to.x) - reach, Math.max(from.x, to.x) + reach];
  const [top, bottom] = [Math.min(from.y, to.y) - reach, Math.max(from.y, to.y) + reach];
  for (let y = Math.max(0, Math.floor(top)); y < Math.min(PAPER, bottom); y++) {
    for (let x = Math.max(0, Math.floor(left)); x < Math.min(PAPER, right); x++) {
      const ink = Math.min(Math.max((reach - distance(x + 0.5, y + 0.5, from, to)) / SOFT, 0), 1);
      const at = y * PAPER + x;
      sheet.paper[at] = erase ? Math.min(sheet.paper[at], 1 - ink) : Math.max(sheet.paper[at], ink);
    }
  }
  Object.assign(sheet, { pixels: null, digit: null });
}

/** Returns the distance of (x, y) from the straight line between two points. */
function distance(x, y, from, to) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = dx * dx + dy * dy;
  const along = length ? Math.min(Math.max(((x - from.x) * dx + (y - from.y) * dy) / length, 0), 1) : 0;
  return Math.hypot(x - from.x - along * dx, y - from.y - along * dy);
}

/** Paints the paper on the canvas of each pad that is in the page. */
function showPapers() {
  paperPixels = paperPixels || createPixels(PAPER);
  const { context, image } = paperPixels;
  for (let i = 0; i < sheet.paper.length; i++) {
    image.data[4 * i] = image.data[4 * i + 1] = image.data[4 * i + 2] = 255 * sheet.paper[i];
  }
  context.putImageData(image, 0, 0);
  for (const { canvas, pen } of pads) show(canvas, (target, width) => paintPaper(target, width, pen));
}

function paintPaper(context, width, pen) {
  context.imageSmoothingEnabled = true;
  context.drawImage(paperPixels.canvas, 0, 0, width, width);
  if (!pen.shown) return;
  const scale = width / PAPER;
  // A dark ring in a light one: to be seen on ink and on the ground.
  for (const [line, paint] of [
    [4, "#000000"],
    [2, pen.down ? "#ffb000" : "#7cc0ff"],
  ]) {
    context.lineWidth = line;
    context.strokeStyle = paint;
    context.beginPath();
    context.arc(pen.x * scale, pen.y * scale, (BRUSH + 2) * scale, 0, 2 * Math.PI);
    context.stroke();
  }
}

/** Returns the element of a pad of so many CSS pixels, elements of `below` under its tools; all show one drawing. */
function createPad(size = 280, ...below) {
  const canvas = createCanvas(size, size, "pad_canvas");
  const said = element("p", { class: "unseen", role: "status" });
  const help = element("p", { class: "pad-help", id: `pad-help-${pads.length}`, text: "pad_help" });
  const pen = { x: PAPER / 2, y: PAPER / 2, down: false, shown: false };
  const pad = { canvas, pen, erasing: false, say: (key, values) => setText(said, key, values) };
  canvas.className = "pad-paper";
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-describedby", help.id);
  pads.push(pad);
  listenToPointer(pad);
  listenToKeys(pad);
  return element("div", { class: "pad" }, canvas, createTools(pad), ...below, createDigitChoice(pad), help, said);
}

/** Returns the buttons of a pad: eraser, undo, clear. */
function createTools(pad) {
  const eraser = element("button", { type: "button", text: "pad_eraser", "aria-pressed": "false" });
  eraser.addEventListener("click", () => {
    pad.erasing = !pad.erasing;
    eraser.setAttribute("aria-pressed", String(pad.erasing));
  });
  const undo = element("button", { type: "button", text: "pad_undo", onclick: () => undoOn(pad) });
  const clear = element("button", { type: "button", text: "pad_clear", onclick: () => clearOn(pad) });
  return element("div", { class: "pad-tools", role: "group", label: "pad_tools" }, eraser, undo, clear);
}

function undoOn(pad) {
  pad.say(undoSheet() ? "pad_undone" : "pad_nothing");
}

function clearOn(pad) {
  clearSheet();
  pad.say("pad_cleared");
}

/** Draws with mouse, pen or one finger: points are gathered as they come, and put on the paper once a frame. */
function listenToPointer(pad) {
  const { canvas } = pad;
  const points = [];
  let [pointer, last] = [null, null];
  const draw = onFrame(() => {
    for (const point of points.splice(0)) {
      stroke(last || point, point, pad.erasing);
      last = point;
    }
    if (pointer === null) last = null;
    tellDrawing();
  });
  const gather = (event) => {
    const { x, y } = pointIn(canvas, event);
    points.push({ x: (x * PAPER) / canvas.dataset.width, y: (y * PAPER) / canvas.dataset.width });
    draw();
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (pointer !== null || event.button !== 0) return;
    keepSheet();
    pointer = event.pointerId;
    last = null;
    pad.pen.shown = false;
    canvas.setPointerCapture(pointer);
    gather(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pointer) return;
    const events = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
    for (const one of events.length ? events : [event]) gather(one);
  });
  const lift = (event) => {
    if (event.pointerId === pointer) pointer = null;
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Draws with the keyboard: arrows move the pen, Space or Enter lowers and lifts it, Delete clears, Ctrl+Z undoes. */
function listenToKeys(pad) {
  const { canvas, pen } = pad;
  const keys = {
    " ": () => lowerOrLift(pad),
    Enter: () => lowerOrLift(pad),
    Delete: () => clearOn(pad),
    Backspace: () => clearOn(pad),
  };
  canvas.addEventListener("keydown", (event) => {
    const undo = event.key === "z" && (event.ctrlKey || event.metaKey);
    if (!undo && (event.ctrlKey || event.metaKey || event.altKey)) return;
    const arrow = ARROWS[event.key];
    if (!undo && !arrow && !(event.key in keys)) return;
    event.preventDefault();
    pen.shown = true;
    if (undo) undoOn(pad);
    else if (arrow) movePen(pad, arrow, event.shiftKey ? 4 : 1);
    else if (!event.repeat) keys[event.key]();
    penMoved();
  });
  canvas.addEventListener("focus", () => {
    pen.shown = canvas.matches(":focus-visible");
    penMoved();
  });
  canvas.addEventListener("blur", () => {
    Object.assign(pen, { shown: false, down: false });
    penMoved();
  });
}

/** Moves a pad's pen by so many of MNIST's pixels, drawing if it is down. */
function movePen(pad, [right, down], pixels) {
  const { pen } = pad;
  const clamp = (value) => Math.min(Math.max(value, PAPER_PIXEL / 2), PAPER - PAPER_PIXEL / 2);
  const from = { x: pen.x, y: pen.y };
  pen.x = clamp(pen.x + right * pixels * PAPER_PIXEL);
  pen.y = clamp(pen.y + down * pixels * PAPER_PIXEL);
  if (pen.down) {
    stroke(from, pen, pad.erasing);
    drawingChanged();
  }
  sayPen(pad);
}

function lowerOrLift(pad) {
  const { pen } = pad;
  pen.down = !pen.down;
  if (pen.down) {
    keepSheet();
    stroke(pen, pen, pad.erasing);
    drawingChanged();
  }
  sayPen(pad);
}

/** Says where a pad's pen is, in MNIST's pixels from the upper left, and whether it draws. */
function sayPen(pad) {
  const [column, row] = [pad.pen.x, pad.pen.y].map((place) => Math.floor(place / PAPER_PIXEL) + 1);
  pad.say(pad.pen.down ? "pad_pen_down" : "pad_pen_up", { row, column });
}

const DIGITS_IN_ROW = 10;

/** Returns the test digits that are shown together: one of each label, or ten in a row where there are none. */
function digitSets() {
  const { images, labels } = digits();
  const sets = [];
  const seen = new Map();
  images.forEach((_, i) => {
    const nth = labels ? seen.get(labels[i]) || 0 : Math.floor(i / DIGITS_IN_ROW);
    if (labels) seen.set(labels[i], nth + 1);
    (sets[nth] = sets[nth] || []).push(i);
  });
  return sets;
}

/** Returns a row of test digits to choose the drawing from, radio buttons to the keyboard, and a button for others. */
function createDigitChoice(pad) {
  const sets = digitSets();
  if (!sets.length) return element("p", { text: "pad_no_digits" });
  let [shown, marked] = [-1, undefined];
  const row = element("div", { class: "pad-digits", role: "radiogroup", label: "pad_digits" });
  const choose = (digit) => {
    keepSheet();
    takeDigit(digit);
    mark(digit);
    pad.say("pad_chosen", { digit: digitName(digit) });
  };
  const mark = (digit) => {
    marked = digit;
    const any = sets[shown].includes(digit);
    [...row.children].forEach((button, i) => {
      const checked = sets[shown][i] === digit;
      button.setAttribute("aria-checked", String(checked));
      button.tabIndex = checked || (!any && i === 0) ? 0 : -1;
    });
  };
  const fill = (number) => {
    shown = number;
    row.replaceChildren(...sets[number].map((digit) => createDigitButton(digit, choose)));
  };
  row.addEventListener("keydown", (event) => moveChoice(event, row));
  const follow = () => {
    const set = sets.findIndex((candidate) => candidate.includes(sheet.digit));
    if (set >= 0 && set !== shown) fill(set);
    else if (sheet.digit === marked) return;
    mark(sheet.digit);
  };
  const more = element("button", { type: "button", text: "pad_more" });
  more.addEventListener("click", () => {
    fill((shown + 1) % sets.length);
    mark(sheet.digit);
  });
  fill(0);
  follow();
  onDrawing(follow);
  return element("div", { class: "pad-choice" }, element("p", { text: "pad_or" }), row, more);
}

/** Returns what a test digit is called: its label, or its number where there are no labels. */
function digitName(digit) {
  const { labels } = digits();
  return labels ? labels[digit] : digit + 1;
}

function createDigitButton(digit, choose) {
  const canvas = createCanvas(40, 40, "pad_digit");
  canvas.removeAttribute("role");
  canvas.removeAttribute("aria-label");
  delete canvas.dataset.ariaKey;
  canvas.setAttribute("aria-hidden", "true");
  drawImage28(canvas, digits().images[digit]);
  const button = element("button", { type: "button", role: "radio", onclick: () => choose(digit) }, canvas);
  return setLabel(button, "pad_digit", { digit: digitName(digit) });
}

/** Moves the choice among radio buttons with the arrows, as radio buttons do. */
function moveChoice(event, row) {
  const arrow = ARROWS[event.key];
  if (!arrow) return;
  event.preventDefault();
  const buttons = [...row.children];
  const next = (buttons.indexOf(document.activeElement) + arrow[0] + arrow[1] + buttons.length) % buttons.length;
  buttons[next].focus();
  buttons[next].click();
}

/** Takes the drawing of the address, now and whenever the address changes. */
function startPad() {
  onState(() => {
    const { draw, digit } = readState();
    const shown = sheet.digit === null ? [encodePixels(currentDrawing()), undefined] : [undefined, String(sheet.digit)];
    if (draw !== shown[0] || digit !== shown[1]) restoreDrawing();
  });
  restoreDrawing();
}
