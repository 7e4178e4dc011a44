// "Draw a digit": three networks and PCA give the drawing back, a classifier reads it, an autoencoder that has never
// seen one of the digits tells how strange it is, a discriminator whether it takes it for real. All of one image, once
// a frame.

/** From the name of a reconstruction to the networks that make it, and the function of an image that does. */
const RECONSTRUCTIONS = {
  stacked: through("stacked-autoencoder/encoder", "stacked-autoencoder/decoder"),
  denoising: through("denoising-autoencoder/encoder", "denoising-autoencoder/decoder"),
  // The probabilities p(x|z) at the mean of q(z|x), of zeros and ones, which it was trained on.
  vae: through("vae/z_mean", "vae/decoder", { seen: binarise, pixels: (logits) => logits.map(sigmoid) }),
  pca: through("stacked-autoencoder/pca_encoder", "stacked-autoencoder/pca_decoder"),
};
const ABSENT = "\u2013"; // for the number of a network that the page does not have
const IMAGE_SIZE = 112; // CSS pixels, 4 to a pixel of the image

/** Returns the networks of a reconstruction and the function of an image that makes it; seen: by the encoder. */
function through(encoder, decoder, { seen = (x) => x, pixels = (output) => output } = {}) {
  const of = (x) => pixels(forward(network(decoder), forward(network(encoder), seen(x))));
  return { networks: [encoder, decoder], of };
}

/** Fills the live part in its body, with what the page has networks for. */
function startDraw(body) {
  const absent = { part: "", heading: "", show: () => null };
  const masked = createMaskChoice();
  const cards = createReconstructionCards();
  const verdict = hasNetwork("feature-classifier/logits") ? createVerdict() : absent;
  const anomaly = pageData().anomaly ? createAnomaly() : absent;
  const opinion = pageData().gan ? createOpinion() : absent;
  const summary = createSummary();
  const parts = [masked, cards, verdict, anomaly, opinion].map((one) => one.part);
  const results = element("div", { class: "draw-results" }, ...parts);
  body.append(element("div", { class: "draw" }, createPad(280, verdict.heading), results), summary.part);
  const update = onFrameSeen(body, () => {
    const x = currentDrawing();
    const seen = masked.of(x);
    const errors = cards.show(x, seen);
    // The classifier and the others would judge an empty image too, as something.
    const judged = hasInk(x) ? seen : null;
    const probabilities = verdict.show(judged);
    anomaly.show(x, seen);
    opinion.show(judged);
    summary.show(errors, probabilities, judged !== null);
  });
  masked.onChange(update);
  onDrawing(update);
  update();
}

/** Returns the choice to hide half of the pixels: of(x) is what the networks see. */
function createMaskChoice() {
  const box = element("input", { type: "checkbox" });
  const restore = () => (box.checked = readState().mask === "1");
  restore();
  const part = element("p", { class: "draw-mask" }, element("label", {}, box, element("span", { text: "draw_mask" })));
  return {
    part,
    of: (x) => (box.checked ? maskPixels(x) : x),
    onChange(callback) {
      box.addEventListener("change", () => {
        writeState("mask", box.checked ? "1" : null);
        callback();
      });
      onState(() => {
        restore();
        callback();
      });
    },
  };
}

/** Returns the input and the four reconstructions, each with its error from the drawing. */
function createReconstructionCards() {
  const input = createCard("draw_input", "draw_input_image");
  const names = Object.keys(RECONSTRUCTIONS).filter((name) => RECONSTRUCTIONS[name].networks.every(hasNetwork));
  const cards = names.map((name) => createCard(`draw_${name}`, `draw_${name}_image`));
  const part = element(
    "div",
    { class: "draw-part" },
    element("h4", { text: "draw_reconstructions" }),
    element("div", { class: "cards" }, input.part, ...cards.map((card) => card.part)),
    setText(element("p", { class: "note" }), "draw_reconstructions_note", {
      stacked: outputsOf("stacked-autoencoder/encoder"),
      pca: outputsOf("stacked-autoencoder/pca_encoder"),
      vae: outputsOf("vae/z_mean"),
    }),
  );
  function showCards(x, seen) {
    drawImage28(input.canvas, seen);
    if (seen === x) setText(input.value, "draw_pixels");
    else setText(input.value, "draw_error", { error: decimals(squaredError(x, seen), 1) });
    const errors = names.map((name, i) => {
      const reconstruction = RECONSTRUCTIONS[name].of(seen);
      drawImage28(cards[i].canvas, reconstruction);
      const error = decimals(squaredError(x, reconstruction), 1);
      setText(cards[i].value, "draw_error", { error });
      return [name, error];
    });
    return Object.fromEntries(errors);
  }
  return { part, show: showCards };
}

/** Returns a card of an image with its name and a value below: {part, canvas, value}. */
function createCard(nameKey, labelKey) {
  const canvas = createCanvas(IMAGE_SIZE, IMAGE_SIZE, labelKey);
  const value = element("span", { class: "number" });
  const caption = element("figcaption", {}, element("strong", { text: nameKey }), value);
  return { part: element("figure", { class: "card" }, canvas, caption), canvas, value };
}

/** Returns the classifier's verdict: a bar of probability for each class; show(null) empties them. */
function createVerdict() {
  const heading = element("p", { class: "verdict" });
  const classes = outputsOf("feature-classifier/logits");
  const bars = Array.from({ length: classes }, (_, digit) => createBar(String(digit)));
  const part = element(
    "div",
    { class: "draw-part" },
    element("h4", { text: "draw_classifier" }),
    element("ol", { class: "bars", label: "draw_probabilities" }, ...bars.map((bar) => bar.part)),
  );
  function showVerdict(x) {
    if (x === null) {
      setText(heading, "draw_empty");
      bars.forEach((bar) => bar.show(null));
      return null;
    }
    const probabilities = softmax(forward(network("feature-classifier/logits"), x));
    const best = probabilities.indexOf(Math.max(...probabilities));
    setText(heading, "draw_verdict", { digit: best, percent: percent(probabilities[best]) });
    bars.forEach((bar, digit) => bar.show(probabilities[digit], digit === best));
    return probabilities;
  }
  return { part, heading, show: showVerdict };
}

/** Returns a probability as text: a number of percent, never 0 or 100, which no softmax means. */
function percent(probability) {
  if (probability < 0.0005) return "<\u00a00.1\u00a0%";
  if (probability > 0.9995) return ">\u00a099.9\u00a0%";
  return `${decimals(100 * probability, 1)}\u00a0%`;
}

/** Returns a row of a name, a bar and a percentage: {part, show(probability or null for none, strong)}. */
function createBar(name) {
  const fill = element("span", { class: "bar-fill" });
  const number = element("span", { class: "number" });
  const bar = element("span", { class: "bar" }, fill);
  const part = element("li", {}, element("span", {}, name), bar, number);
  return {
    part,
    show(probability, strong = false) {
      fill.style.width = `${100 * probability}%`;
      number.textContent = probability === null ? ABSENT : percent(probability);
      part.classList.toggle("strong", strong);
    },
  };
}

/** Returns the anomaly score with its heat map, and where it stands among the page's test digits. */
function createAnomaly() {
  const leftOut = pageData().anomaly.left_out;
  const reconstruction = createCard("draw_anomaly_reconstruction", "draw_anomaly_reconstruction_image");
  const heat = createCard("draw_heat", "draw_heat_image");
  const score = element("p", { class: "verdict" });
  const strip = createCanvas(340, 132, "draw_strip");
  let [references, current] = [[], null];
  const part = element(
    "div",
    { class: "draw-part" },
    element("h4", { text: "draw_anomaly" }),
    setText(element("p", { class: "note" }), "draw_anomaly_note", {
      digit: leftOut,
      code: outputsOf("anomaly-detection/encoder"),
    }),
    score,
    element("div", { class: "anomaly" }, element("div", { class: "cards" }, reconstruction.part, heat.part), strip),
    element("p", { class: "note", text: "draw_strip_note" }),
  );
  const showStrip = () => show(strip, (context, width) => paintStrip(context, width, references, current, leftOut));
  function showAnomaly(x, seen) {
    const given = anomalyReconstruction(seen);
    const scored = anomalyScore(x, given);
    current = hasInk(x) ? scored : null;
    drawImage28(reconstruction.canvas, given);
    drawImage28(heat.canvas, scored.heat, { heat: true });
    setText(reconstruction.value, "draw_error", { error: decimals(scored.error, 1) });
    setText(heat.value, "draw_heat_about");
    const perInk = current ? decimals(current.perInk, 3) : ABSENT;
    setText(score, "draw_score", { score: perInk });
    setLabel(strip, "draw_strip", { score: perInk, digit: leftOut });
    showStrip();
  }
  whenSeen(part, () =>
    scoreDigits((scores) => {
      references = scores;
      showStrip();
    }),
  );
  return { part, show: showAnomaly };
}

/** Returns what the autoencoder that has not seen one digit gives back. */
function anomalyReconstruction(x) {
  return through("anomaly-detection/encoder", "anomaly-detection/decoder").of(x);
}

/** Scores the page's test digits, a few at a time so that nothing waits, and gives the callback [{label, perInk}]. */
function scoreDigits(callback) {
  const { images, labels } = digits();
  const scores = [];
  const some = () => {
    for (const image of images.slice(scores.length, scores.length + 10)) {
      const { perInk } = anomalyScore(image, anomalyReconstruction(image));
      scores.push({ label: labels ? labels[scores.length] : null, perInk });
    }
    if (scores.length < images.length) setTimeout(some);
    else callback(scores);
  };
  setTimeout(some);
}

/** Paints the scores of the digits that were trained on and of the one left out, in two rows, and the drawing's own. */
function paintStrip(context, width, references, current, leftOut) {
  const scores = references.map((one) => one.perInk);
  const high = Math.max(0.5, current ? current.perInk : 0, ...scores) * 1.05;
  const toX = (value) => 8 + (value / high) * (width - 16);
  const rows = [
    { key: "draw_strip_known", y: 34, of: (one) => one.label !== leftOut, paint: "--plot-1" },
    { key: "draw_strip_left_out", y: 78, of: (one) => one.label === leftOut, paint: "--plot-2" },
  ];
  context.font = "12px system-ui, sans-serif";
  context.textBaseline = "alphabetic";
  for (const row of rows) {
    context.textAlign = "left";
    context.fillStyle = colour("--text");
    context.fillText(t(row.key, { digit: leftOut }), 8, row.y - 14);
    context.fillStyle = colour(row.paint);
    context.globalAlpha = 0.75;
    for (const one of references.filter(row.of)) context.fillRect(toX(one.perInk) - 1, row.y - 6, 2, 16);
    context.globalAlpha = 1;
  }
  paintStripAxis(context, width, toX, high);
  if (!current) return;
  context.strokeStyle = colour("--text");
  context.lineWidth = 2.5;
  const x = toX(current.perInk);
  for (const { y } of rows) paintLine(context, [x, x], [y - 9, y + 13]);
}

function paintStripAxis(context, width, toX, high) {
  context.strokeStyle = colour("--line");
  context.lineWidth = 1;
  paintLine(context, [8, width - 8], [98, 98]);
  context.fillStyle = colour("--muted");
  context.textAlign = "center";
  for (const tick of roundTicks([0, high], 5)) {
    paintLine(context, [toX(tick), toX(tick)], [98, 102]);
    context.fillText(String(tick), toX(tick), 114);
  }
  context.fillText(t("draw_strip_axis"), width / 2, 129);
}

/** Returns the discriminator's opinion at the last epoch; show(null) empties it. */
function createOpinion() {
  const { discriminators, epochs } = pageData().gan;
  const last = discriminators.length - 1;
  const bar = createBar("D(x)");
  const part = element(
    "div",
    { class: "draw-part" },
    element("h4", { text: "draw_discriminator" }),
    element("ol", { class: "bars" }, bar.part),
    setText(element("p", { class: "note" }), "draw_discriminator_note", { epoch: epochs[last] }),
  );
  const opinionOf = (x) => sigmoid(forward(network(discriminators[last]), x)[0]);
  const showOpinion = (x) => bar.show(x === null ? null : opinionOf(x), true);
  return { part, show: showOpinion };
}

/** Returns what a screen reader says when the drawing has come to rest. */
function createSummary() {
  const part = element("p", { class: "unseen", role: "status" });
  const say = sayLater(part);
  function showSummary(errors, probabilities, drawn) {
    if (!drawn) return say("draw_empty");
    const values = Object.fromEntries(["digit", "percent", ...Object.keys(RECONSTRUCTIONS)].map((name) => [name, ABSENT]));
    if (probabilities) {
      values.digit = probabilities.indexOf(Math.max(...probabilities));
      values.percent = percent(probabilities[values.digit]);
    }
    say("draw_summary", { ...values, ...errors });
  }
  return { part, show: showSummary };
}
