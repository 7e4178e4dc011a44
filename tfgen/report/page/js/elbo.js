// "The bound of your drawing": z is drawn again and again from q(z|x) of the VAE; each draw gives one estimate of
// -ELBO(x) = -log p(x|z) + KL(q(z|x) || p(z)), in nats. The second term does not depend on z; the first is averaged.

const ELBO_SEED = 1;
const DRAWS_SHOWN = 60;
const DRAWS_OF_A_RUN = 300; // then it stops by itself
const DRAW_INTERVAL = 250; // ms

/** Fills the live part in its body. */
function startElbo(body) {
  const view = createElboView();
  let random = null;
  let history = [];
  let image = null;
  let posterior = null;
  const takeImage = () => {
    image = binarise(currentDrawing(), view.binary());
    posterior = { mean: forward(network("vae/z_mean"), image), logVar: forward(network("vae/z_log_var"), image) };
    // Of every image and for every reader the n-th draw is the same.
    random = createRandom(ELBO_SEED);
    history = [];
  };
  const drawOnce = () => {
    const encoder = { mean: network("vae/z_mean"), logVar: network("vae/z_log_var") };
    const terms = elboTerms(image, encoder, network("vae/decoder"), normalArray(random, posterior.mean.length));
    history.push({ reconstruction: terms.reconstruction, kl: terms.kl });
    view.show(image, posterior, terms, history);
  };
  const startOver = onFrameSeen(body, () => {
    takeImage();
    drawOnce();
  });
  const again = onFrameSeen(body, () => {
    if (image === null) takeImage();
    drawOnce();
  });
  const runner = createRunner(view.run, body, again);
  view.once.addEventListener("click", again);
  view.restart.addEventListener("click", startOver);
  view.onBinary(startOver);
  onDrawing(startOver);
  body.append(view.part);
  startOver();
  whenSeen(body, () => {
    if (!reducedMotion()) runner.start();
  });
}

/** Returns {start()}: calls step again and again while the part is on the screen; the button pauses and resumes. */
function createRunner(button, body, step) {
  let [running, timer, visible, left] = [false, 0, true, 0];
  const label = () => setText(button, running ? "elbo_pause" : "elbo_run");
  const tick = () => {
    clearTimeout(timer);
    if (!running) return;
    if (visible && !document.hidden) {
      if (left-- === 0) return stop();
      step();
    }
    timer = setTimeout(tick, DRAW_INTERVAL);
  };
  const stop = () => {
    running = false;
    clearTimeout(timer);
    label();
  };
  const start = () => {
    [running, left] = [true, DRAWS_OF_A_RUN];
    label();
    tick();
  };
  new IntersectionObserver((entries) => (visible = entries[entries.length - 1].isIntersecting)).observe(body);
  button.addEventListener("click", () => (running ? stop() : start()));
  label();
  return { start };
}

/** Returns the elements of the part, and show() which fills them. */
function createElboView() {
  const keys = ["elbo_once", "elbo_run", "elbo_restart"];
  const buttons = keys.map((key) => element("button", { type: "button", text: key }));
  const choice = createBinaryChoice();
  const input = createCard("elbo_input", "elbo_input_image");
  const output = createCard("elbo_output", "elbo_output_image");
  const equation = element("p", { class: "verdict elbo-equation" });
  const mean = element("p", { class: "elbo-mean" });
  const terms = createCanvas(520, 220, "elbo_history");
  const latents = createCanvas(520, 200, "elbo_latents");
  const said = element("p", { class: "unseen", role: "status" });
  const say = sayLater(said);
  const results = element(
    "div",
    { class: "draw-results" },
    choice.part,
    element("div", { class: "pad-tools", role: "group", label: "elbo_tools" }, ...buttons),
    element("div", { class: "cards" }, input.part, output.part),
    equation,
    mean,
    createLegend(),
    element("div", { class: "plot" }, terms),
    element("p", { class: "note", text: "elbo_note" }),
    element("h4", { text: "elbo_latents_title" }),
    element("div", { class: "plot" }, latents),
    element("p", { class: "note", text: "elbo_latents_note" }),
  );
  function showElbo(image, posterior, draw, history) {
    drawImage28(input.canvas, image);
    drawImage28(output.canvas, draw.logits.map(sigmoid));
    const numbers = elboNumbers(draw, history);
    setText(equation, "elbo_equation", numbers);
    setText(mean, "elbo_mean", numbers);
    setLabel(terms, "elbo_history", numbers);
    show(terms, (context) => paintHistory(context, plotScales(terms, ...historyRanges(history)), history));
    setLabel(latents, "elbo_latents", { count: posterior.mean.length });
    show(latents, (context) => paintLatents(context, latents, posterior, draw.z));
    say("elbo_said", numbers);
  }
  const [once, run, restart] = buttons;
  const part = element("div", { class: "draw" }, createPad(), results, said);
  return { part, once, run, restart, binary: choice.value, onBinary: choice.onChange, show: showElbo };
}

/** Returns the numbers of the last draw and of all so far, as texts. */
function elboNumbers(draw, history) {
  const totals = history.map((one) => one.reconstruction + one.kl);
  // The sum of the terms as they are shown.
  const [reconstruction, kl] = [draw.reconstruction, draw.kl].map((term) => Number(term.toFixed(1)));
  return {
    reconstruction: decimals(reconstruction, 1),
    kl: decimals(kl, 1),
    total: decimals(reconstruction + kl, 1),
    count: totals.length,
    mean: decimals(totals.reduce((sum, value) => sum + value, 0) / totals.length, 1),
  };
}

/** Returns the choice of how the drawing becomes zeros and ones. */
function createBinaryChoice() {
  const inputs = ["threshold", "drawn"].map((value) => element("input", { type: "radio", name: "elbo-binary", value }));
  const labels = inputs.map((input) => element("label", {}, input, element("span", { text: `elbo_${input.value}` })));
  const restore = () => {
    const drawn = readState()["elbo-binary"] === "drawn";
    [inputs[0].checked, inputs[1].checked] = [!drawn, drawn];
  };
  restore();
  const legend = element("legend", { text: "elbo_binary" });
  return {
    part: element("fieldset", { class: "choice" }, legend, ...labels),
    value: () => (inputs[1].checked ? "drawn" : "threshold"),
    onChange(callback) {
      for (const input of inputs) {
        input.addEventListener("change", () => {
          writeState("elbo-binary", inputs[1].checked ? "drawn" : null);
          callback();
        });
      }
      onState(() => {
        const before = inputs[1].checked;
        restore();
        if (inputs[1].checked !== before) callback();
      });
    },
  };
}

/** Returns the names of the colours of the history. */
function createLegend() {
  const names = [
    ["reconstruction", "--plot-1"],
    ["kl", "--plot-2"],
    ["running", "--text"],
  ];
  const entries = names.map(([name, paint]) => {
    const swatch = element("span", { class: "swatch", style: `background: var(${paint})`, "aria-hidden": "true" });
    return element("li", {}, swatch, element("span", { text: `elbo_legend_${name}` }));
  });
  return element("ul", { class: "legend" }, ...entries);
}

/** Returns the ranges [x, y] of the history's plot. */
function historyRanges(history) {
  const last = Math.max(history.length, DRAWS_SHOWN);
  const high = Math.max(...history.map((one) => one.reconstruction + one.kl));
  return [
    [last - DRAWS_SHOWN, last],
    [0, 20 * Math.ceil((1.1 * high) / 20)],
  ];
}

/** Paints the last draws as stacked bars, the divergence below, and the running mean of all draws up to each. */
function paintHistory(context, scales, history) {
  const [x, y] = historyRanges(history);
  const { toX, toY } = scales;
  paintAxes(context, scales, { x, y, xKey: "elbo_axis_draw", yKey: "elbo_axis_nats" });
  const width = toX(0.8) - toX(0);
  const means = [];
  let sum = 0;
  history.forEach((one, i) => {
    sum += one.reconstruction + one.kl;
    if (i < x[0]) return;
    means.push([i + 0.5, sum / (i + 1)]);
    paintBar(context, "--plot-2", toX(i + 0.1), width, toY(0), toY(one.kl));
    paintBar(context, "--plot-1", toX(i + 0.1), width, toY(one.kl), toY(one.kl + one.reconstruction));
  });
  context.strokeStyle = colour("--text");
  context.lineWidth = 2.5;
  paintLine(
    context,
    means.map((mean) => toX(mean[0])),
    means.map((mean) => toY(mean[1])),
  );
}

function paintBar(context, paint, left, width, from, to) {
  context.fillStyle = colour(paint);
  context.fillRect(left, Math.min(from, to), width, Math.abs(to - from));
}

/** Paints for each latent the mean of q(z_j|x) and one standard deviation around it, over the prior's, and the draw. */
function paintLatents(context, canvas, posterior, z) {
  const count = z.length;
  const deviations = posterior.logVar.map((logVar) => Math.exp(0.5 * logVar));
  const reach = Math.max(2, ...z.map(Math.abs), ...posterior.mean.map((mean, j) => Math.abs(mean) + deviations[j]));
  const [x, y] = [
    [0, count],
    [-1.1 * reach, 1.1 * reach],
  ];
  const scales = plotScales(canvas, x, y);
  const { toX, toY, box } = scales;
  context.fillStyle = colour("--plot-3");
  context.globalAlpha = 0.18;
  context.fillRect(box.left, toY(1), box.right - box.left, toY(-1) - toY(1));
  context.globalAlpha = 1;
  paintAxes(context, scales, { x, y, xKey: "elbo_axis_latent", yKey: "elbo_axis_z" });
  for (let j = 0; j < count; j++) {
    const [low, high] = [posterior.mean[j] - deviations[j], posterior.mean[j] + deviations[j]];
    paintBar(context, "--plot-1", toX(j + 0.25), toX(0.5) - toX(0), toY(low), toY(high));
    context.fillStyle = colour("--text");
    context.strokeStyle = colour("--surface");
    context.lineWidth = 3;
    context.beginPath();
    context.arc(toX(j + 0.5), toY(z[j]), 3.5, 0, 2 * Math.PI);
    context.stroke();
    context.fill();
  }
}
