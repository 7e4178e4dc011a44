// A GAN on the line trains before the reader's eyes, in a worker, or between frames where a browser allows none:
// both densities, D beside D*, and how the divergence falls and V nears -log 4. Only a press starts it.

const LINE_EVERY = 100; // ms between two states
const LINE_GOAL = 0.02; // nats
const LINE_CHART = { width: 426, height: 236 };

// From an option to the texts of its choices. loss, k, rates, the data's mean, as in DEFAULT_LINE_GAN.
const LINE_CHOICES = {
  generatorLoss: ["non-saturating", "minimax"],
  k: ["1", "3", "5", "10"],
  generatorRate: ["0.0001", "0.0003", "0.001", "0.003"],
  discriminatorRate: ["0.001", "0.003", "0.01"],
  dataMean: ["1", "4"],
};
const LINE_OPTIONS = [...Object.keys(LINE_CHOICES), "seed"];
// Data far from where G begins, and a D that is soon sure of itself.
const LINE_SATURATED = { generatorLoss: "minimax", k: 10, discriminatorRate: 0.01, dataMean: 4 };

/** Fills the live part in its body. */
function startLine(body) {
  const line = { options: DEFAULT_LINE_GAN, phase: "ready", trainer: null, state: null, error: null };
  Object.assign(line, { history: [], former: [] });
  buildLine(line, body);
  line.update = onFrameSeen(body, () => showLine(line));
  const restore = () => takeLineOptions(line, lineOptionsOf(readState().line));
  onLanguage(line.update);
  onState(restore);
  restore();
}

/** Makes the elements: options, buttons, numbers, four charts. */
function buildLine(line, body) {
  line.run = element("button", { type: "button", class: "primary", text: "line_start", onclick: () => pressRun(line) });
  const reset = element("button", { type: "button", text: "line_reset", onclick: () => resetLine(line) });
  line.numbers = element("p", { class: "numbers" });
  line.said = element("p", { class: "unseen", role: "status" });
  const { generatorUnits, discriminatorUnits, batchSize } = DEFAULT_LINE_GAN;
  const sizes = { g: generatorUnits.join(", "), d: discriminatorUnits.join(", "), batch: batchSize };
  body.append(
    createPresets(line),
    createLineFields(line),
    element("div", { class: "tools" }, line.run, reset),
    line.numbers,
    createLineCharts(line),
    element("p", { class: "hint", text: "line_help" }),
    setText(element("p", { class: "hint" }), "line_sizes", sizes),
    line.said,
  );
}

/** Returns the buttons of the usual settings, and of those with which the minimax loss saturates. */
function createPresets(line) {
  const preset = (key, options) => {
    const take = () => takeLineOptions(line, { ...DEFAULT_LINE_GAN, ...options, seed: line.options.seed });
    return element("button", { type: "button", text: key, onclick: take });
  };
  const [usual, saturated] = [preset("line_usual", {}), preset("line_saturate", LINE_SATURATED)];
  return element("div", { class: "tools", role: "group", label: "line_presets" }, usual, saturated);
}

function createLineFields(line) {
  line.fields = Object.fromEntries(LINE_OPTIONS.map((name) => [name, createLineField(line, name)]));
  const fields = LINE_OPTIONS.map((name) => line.fields[name].element);
  return element("div", { class: "fields", role: "group", label: "line_options" }, ...fields);
}

// Of each chart, whose name is a key of text.json after "line_", its lines: custom property, key, whether dashed.
const LINE_CHARTS = {
  densities: [
    ["--plot-1", "line_p_data"],
    ["--plot-2", "line_p_g"],
  ],
  discriminators: [
    ["--plot-3", "line_d"],
    ["--text", "line_d_star", true],
  ],
  divergence: [
    ["--plot-2", "line_js"],
    ["--warn", "line_goal", true],
    ["--muted", "line_former"],
  ],
  value: [
    ["--plot-3", "line_v"],
    ["--warn", "line_log_4", true],
    ["--muted", "line_former"],
  ],
};

function createLineCharts(line) {
  line.charts = {};
  const charts = Object.entries(LINE_CHARTS).map(([name, lines]) => {
    line.charts[name] = createCanvas(LINE_CHART.width, LINE_CHART.height, `line_${name}`);
    return createChart(`line_${name}`, line.charts[name], lines);
  });
  return element("div", { class: "charts" }, ...charts);
}

/** Returns a chart under its title, over what its lines are: [custom property, key, whether dashed] each. */
function createChart(key, canvas, lines) {
  const items = lines.map(([name, text, dashed]) => {
    const mark = element("i", { class: dashed ? "dashed" : "line", "aria-hidden": "true" });
    mark.style.borderColor = `var(${name})`;
    return element("li", {}, mark, element("span", { text }));
  });
  return element("div", {}, element("h4", { text: key }), canvas, element("ul", { class: "legend" }, ...items));
}

/** Returns the control of an option, a choice or, of the seed, a number. */
function createLineField(line, name) {
  const choice = (value) => {
    const texts = name === "generatorLoss" || name === "dataMean";
    const option = element("option", { value });
    return texts ? setText(option, `line_${name}_${value}`) : Object.assign(option, { textContent: value });
  };
  const control =
    name === "seed"
      ? element("input", { type: "number", min: "0", max: "999999999", step: "1", inputmode: "numeric" })
      : element("select", {}, ...LINE_CHOICES[name].map(choice));
  control.addEventListener("change", () => {
    const value = name === "generatorLoss" ? control.value : Number(control.value);
    const allowed = name !== "seed" || /^\d{1,9}$/.test(control.value);
    takeLineOptions(line, allowed ? { ...line.options, [name]: value } : line.options);
  });
  return { control, element: element("label", {}, element("span", { text: `line_${name}` }), control) };
}

/** Returns the options of the address's text; what it does not say, or says wrongly, is as at the beginning. */
function lineOptionsOf(text) {
  const words = (text || "").split(",");
  const options = { ...DEFAULT_LINE_GAN };
  LINE_OPTIONS.forEach((name, i) => {
    const word = words[i] || "";
    const allowed = name === "seed" ? /^\d{1,9}$/.test(word) : LINE_CHOICES[name].includes(word);
    if (allowed) options[name] = name === "generatorLoss" ? word : Number(word);
  });
  return options;
}

/** Takes options, which begin anew, and writes them into the address. */
function takeLineOptions(line, options) {
  const changed = LINE_OPTIONS.some((name) => options[name] !== line.options[name]);
  line.options = options;
  for (const name of LINE_OPTIONS) line.fields[name].control.value = String(options[name]);
  const usual = LINE_OPTIONS.every((name) => options[name] === DEFAULT_LINE_GAN[name]);
  writeState("line", usual ? null : LINE_OPTIONS.map((name) => options[name]).join(","));
  if (changed) resetLine(line);
  else line.update();
}

/** Ends the training, keeps its curves for comparison, and shows the networks before any. */
function resetLine(line) {
  if (line.trainer) line.trainer.end();
  if (line.history.length > 1) line.former = line.history;
  Object.assign(line, { trainer: null, phase: "ready", state: null, history: [], error: null });
  line.update();
}

/** Starts, pauses or goes on, whichever the button says. */
function pressRun(line) {
  const actions = {
    ready: () => beginTraining(line),
    running: () => line.trainer.send({ type: "pause" }),
    paused: () => line.trainer.send({ type: "resume" }),
    finished: () => {
      resetLine(line);
      beginTraining(line);
    },
  };
  const next = { ready: "running", running: "paused", paused: "running", finished: "running" }[line.phase];
  actions[line.phase]();
  line.phase = next;
  sayLine(line);
  line.update();
}

function beginTraining(line) {
  const trainer = createTrainer((message) => {
    // What was still under way when another training began.
    if (line.trainer === trainer) hearTrainer(line, message);
  });
  line.trainer = trainer;
  trainer.send({ type: "start", options: line.options, every: LINE_EVERY });
}

/** Takes a message of the worker. */
function hearTrainer(line, message) {
  if (message.type === "error") Object.assign(line, { phase: "finished", error: message.message });
  if (message.type === "state") {
    line.state = message;
    const { iteration, densities, losses } = message;
    if (losses) line.history.push({ iteration, divergence: densities.jensenShannon, value: -losses.discriminatorLoss });
    if (message.finished) line.phase = "finished";
  }
  if (line.phase === "finished") sayLine(line);
  line.update();
}

/** Tells those who do not see the charts what has happened. */
function sayLine(line) {
  setText(line.said, `line_said_${line.phase}`);
  if (line.phase !== "running" && line.state) line.said.textContent += ` ${lineNumbers(line)}`;
}

/**
 * Returns {send(message), end()} of what trains and answers as worker.js says: a worker made from the page's own text,
 * or, where the browser allows none from a file, the same code in slices between frames.
 */
function createTrainer(hear) {
  let [inPage, worker, started] = [null, null, null];
  const withoutWorker = () => {
    worker = null;
    inPage = createTrainerInPage(hear);
    if (started) inPage.postMessage(started);
  };
  try {
    const source = new Blob([document.getElementById("worker-source").textContent], { type: "text/javascript" });
    const url = URL.createObjectURL(source);
    worker = new Worker(url);
    worker.onmessage = ({ data }) => {
      started = null;
      URL.revokeObjectURL(url);
      hear(data);
    };
    // Before its first word: it has not come into being.
    worker.onerror = (event) => (started ? withoutWorker() : hear({ type: "error", message: event.message }));
  } catch {
    withoutWorker();
  }
  return {
    send(message) {
      if (message.type === "start") started = message;
      (worker || inPage).postMessage(message);
    },
    end: () => (worker ? worker.terminate() : inPage.end()),
  };
}

const LINE_SLICE = 12; // ms of training between two frames

/** Returns {postMessage, end} of a trainer on the page's own thread, with the messages of worker.js. */
function createTrainerInPage(hear) {
  let [gan, timer, seconds, losses, said] = [null, 0, 0, null, 0];
  const say = () => {
    said = performance.now();
    hear(lineState(gan, seconds, losses));
  };
  const turn = () => {
    const began = performance.now();
    while (performance.now() - began < LINE_SLICE && !lineFinished(gan)) losses = lineGanStep(gan);
    seconds += (performance.now() - began) / 1000;
    if (lineFinished(gan) || performance.now() - said > LINE_EVERY) say();
    if (!lineFinished(gan)) timer = setTimeout(() => guard(turn), 0);
  };
  const pause = () => clearTimeout(timer);
  const start = ({ options }) => {
    gan = createLineGan(options);
    turn();
  };
  const guard = (action) => {
    try {
      action();
    } catch (error) {
      hear({ type: "error", message: error.message });
    }
  };
  const actions = { start, pause, resume: turn };
  return { postMessage: (message) => guard(() => actions[message.type](message)), end: pause };
}

// What the button says, and so does.
const LINE_RUN_KEYS = { ready: "line_start", running: "line_pause", paused: "line_resume", finished: "line_again" };

/** Shows everything as it stands. */
function showLine(line) {
  setText(line.run, LINE_RUN_KEYS[line.phase]);
  const densities = line.state ? line.state.densities : freshDensities(line);
  showDensities(line.charts, densities);
  showDivergence(line);
  showValue(line);
  line.numbers.textContent = line.error ? t("line_error", { message: line.error }) : lineNumbers(line);
}

/** Returns the densities before any training, with which the worker begins too. */
function freshDensities(line) {
  if (line.freshOf !== line.options) {
    line.fresh = lineState(createLineGan(line.options), 0, null).densities;
    line.freshOf = line.options;
  }
  return line.fresh;
}

/** Returns where the training stands, in words. */
function lineNumbers({ state, options }) {
  if (!state || !state.losses) return t("line_before");
  const { iteration, seconds, densities, losses } = state;
  return t("line_numbers", {
    iteration,
    iterations: options.iterations,
    seconds: decimals(seconds, 1),
    divergence: decimals(densities.jensenShannon, 4),
    value: decimals(-losses.discriminatorLoss, 3),
    gradient: scientific(losses.generatorGradientNorm),
  });
}

/** Returns a number >= 0 with two digits, small ones as 1.5 x 10^-6. */
function scientific(number) {
  if (number >= 0.01 || number === 0) return decimals(number, 2);
  const [digits, exponent] = number.toExponential(1).split("e-");
  return `${digits} × 10⁻${[...exponent].map((digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]).join("")}`;
}

/** Shows the two densities, and D beside D*. */
function showDensities({ densities, discriminators }, { centres, pData, pG, discriminator, optimalDiscriminator }) {
  const x = [centres[0], centres[centres.length - 1]];
  const top = 1.6 * pData.reduce((a, b) => Math.max(a, b));
  plotCurves(densities, {
    x,
    y: [0, top],
    xKey: "line_x",
    curves: [
      { xs: centres, ys: pData, colour: "--plot-1", fill: true },
      { xs: centres, ys: pG, colour: "--plot-2", fill: true },
    ],
  });
  plotCurves(discriminators, {
    x,
    y: [0, 1],
    xKey: "line_x",
    curves: [
      { xs: x, ys: [0.5, 0.5], colour: "--line", width: 1 },
      { xs: centres, ys: discriminator, colour: "--plot-3" },
      { xs: centres, ys: optimalDiscriminator, colour: "--text", dash: [6, 4], width: 1.5 },
    ],
  });
}

/** Returns the range of the axis of iterations, with room for its last number. */
function iterationRange({ options }) {
  return [0, 1.04 * options.iterations];
}

/** Returns the curves of a quantity in this training and, in grey, the one before. */
function historyCurves({ history, former }, name, paint) {
  const curve = (states, colour, width) => ({
    xs: states.map((one) => one.iteration),
    ys: states.map((one) => one[name]),
    colour,
    width,
  });
  return [curve(former, "--muted", 1), curve(history, paint, 2)];
}

/** Shows V(D, G) as D saw it in its last batch, beside -log 4. */
function showValue(line) {
  const x = iterationRange(line);
  const limit = -Math.log(4);
  plotCurves(line.charts.value, {
    x,
    y: [-2, 0],
    xKey: "line_iterations",
    curves: [
      ...historyCurves(line, "value", "--plot-3"),
      { xs: x, ys: [limit, limit], colour: "--warn", dash: [6, 4], width: 1.5 },
    ],
  });
}

const LINE_DECADES = [-3, 0];

/** Shows the Jensen-Shannon divergence on a scale of decades, beside the line below which the densities have met. */
function showDivergence(line) {
  const x = iterationRange(line);
  const canvas = line.charts.divergence;
  const curves = historyCurves(line, "divergence", "--plot-2");
  const goal = { xs: x, ys: [LINE_GOAL, LINE_GOAL], colour: "--warn", dash: [6, 4], width: 1.5 };
  const place = (divergence) => Math.log10(Math.max(divergence, 1e-9));
  show(canvas, (context) => {
    const scales = plotScales(canvas, x, LINE_DECADES);
    paintDecades(context, scales);
    paintAxes(context, scales, { x, y: [], xKey: "line_iterations" });
    inBox(context, scales, () => {
      for (const curve of [...curves, goal]) paintCurve(context, scales, { ...curve, ys: curve.ys.map(place) });
    });
  });
}

/** Paints the ticks of a vertical axis of decades: 0.001, 0.01, 0.1, 1 */
function paintDecades(context, { box, toY }) {
  context.font = "12px system-ui, sans-serif";
  context.fillStyle = colour("--muted");
  context.strokeStyle = colour("--line");
  context.lineWidth = 1;
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (let decade = LINE_DECADES[0]; decade <= LINE_DECADES[1]; decade++) {
    paintLine(context, [box.left - 4, box.left], [toY(decade), toY(decade)]);
    context.fillText(String(Number((10 ** decade).toPrecision(1))), box.left - 6, toY(decade));
  }
}
