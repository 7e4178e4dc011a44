// The same noises through generators of several epochs, each image judged by the discriminator of its epoch; a walk
// between two of the noises; and the same judgement of images that nothing generated.

const GAN_IMAGES = 16;
const GAN_WALK_STEPS = 100; // of the slider from one noise to the other
const GAN_WALK_SECONDS = 4;

/** Fills the live part in its body. */
function startGan(body) {
  const { epochs } = pageData().gan;
  // In the address: seed of the noises; epoch, its position among the epochs; ends of the walk, two of the noises; step
  // of the walk; digit, a test digit. Beside it: which end the next press chooses; the images made, by epoch.
  const shown = { seed: 0, epoch: epochs.length - 1, ends: [0, 1], step: GAN_WALK_STEPS / 2, digit: 0 };
  const gan = { ...shown, nextEnd: 0, noises: [], made: new Map(), playing: 0 };
  buildGan(gan, body);
  gan.update = onFrameSeen(body, () => showGan(gan));
  const restore = () => {
    restoreGan(gan);
    gan.update();
  };
  onState(restore);
  onLanguage(gan.update);
  onDrawing(gan.update);
  restore();
}

/** Makes the elements: epochs, the grid, the walk, the comparison. */
function buildGan(gan, body) {
  gan.said = element("p", { class: "unseen", role: "status" });
  const help = element("p", { class: "hint", text: "gan_help" });
  body.append(createEpochTools(gan), createGanGrid(gan), help);
  body.append(element("h4", { text: "gan_walk" }), createWalkTools(gan));
  body.append(element("h4", { text: "gan_compare" }), element("p", { class: "hint", text: "gan_compare_help" }));
  body.append(createComparison(gan), createPadDrawer(), gan.said);
}

/** Returns the slider over the epochs and the button for other noises. */
function createEpochTools(gan) {
  const last = pageData().gan.epochs.length - 1;
  gan.epochSlider = createSlider(last, "gan_epoch_slider", (value) => setGan(gan, { epoch: value }));
  gan.epochText = element("output", { class: "numbers" });
  const slider = element("label", { class: "slider" }, gan.epochText, gan.epochSlider);
  const again = element("button", { type: "button", text: "gan_new", onclick: () => newNoises(gan) });
  return element("div", { class: "tools" }, slider, again);
}

function createGanGrid(gan) {
  gan.cells = Array.from({ length: GAN_IMAGES }, (_, i) => createGanCell(gan, i));
  const buttons = gan.cells.map((cell) => cell.button);
  return element("div", { class: "gan-grid", role: "group", label: "gan_grid" }, ...buttons);
}

/** Returns the image on the walk, the slider along it, and the button that walks. */
function createWalkTools(gan) {
  const walkTo = (step) => {
    stopWalk(gan);
    setGan(gan, { step });
  };
  const playOrStop = () => (gan.playing ? stopWalk(gan) : startWalk(gan));
  gan.walk = createJudged("gan_walk_image", 112);
  gan.walkSlider = createSlider(GAN_WALK_STEPS, "gan_walk_slider", walkTo);
  gan.walkText = element("output", { class: "numbers" });
  gan.play = element("button", { type: "button", text: "gan_play", onclick: playOrStop });
  const slider = element("label", { class: "slider" }, gan.walkText, gan.walkSlider);
  return element("div", { class: "tools" }, gan.walk.element, slider, gan.play);
}

/** Returns what D makes of a test digit and of the drawing. */
function createComparison(gan) {
  gan.test = createJudged("gan_test_image", 112);
  gan.own = createJudged("gan_own_image", 112);
  gan.other = element("button", { type: "button", text: "gan_other", onclick: () => nextDigit(gan) });
  return element("div", { class: "tools" }, gan.test.element, gan.own.element, gan.other);
}

/** Returns a slider from 0 to `last` in whole steps, which calls the callback with its value. */
function createSlider(last, key, callback) {
  const slider = element("input", { type: "range", min: "0", max: String(last), step: "1", label: key });
  slider.addEventListener("input", () => callback(Number(slider.value)));
  return slider;
}

/** Returns an image's canvas over what D makes of it, a bar and a number. */
function createJudged(key, size) {
  const canvas = createCanvas(size, size, key);
  const bar = element("i");
  const number = element("span", { class: "numbers" });
  const caption = element("span", { class: "judged-bar", "aria-hidden": "true" }, bar);
  return { canvas, bar, number, element: element("div", { class: "judged" }, canvas, caption, number) };
}

/** Returns one image of the grid: a button that makes it an end of the walk. */
function createGanCell(gan, i) {
  const judged = createJudged("gan_image", 76);
  // The button has the name.
  judged.canvas.setAttribute("aria-hidden", "true");
  const end = element("b", { "aria-hidden": "true" });
  const button = element("button", { type: "button", class: "gan-cell" }, judged.element, end);
  button.addEventListener("click", () => chooseEnd(gan, i));
  return { ...judged, button, end };
}

/** Takes new values, writes them into the address, and shows them. */
function setGan(gan, values) {
  Object.assign(gan, values);
  writeGan(gan);
  gan.update();
}

function writeGan({ seed, epoch, ends, step, digit }) {
  const { epochs } = pageData().gan;
  writeState("gan-epoch", epoch === epochs.length - 1 ? null : epochs[epoch]);
  writeState("gan-seed", seed === 0 ? null : seed);
  const walk = [...ends.map((end) => end + 1), step / GAN_WALK_STEPS].join(",");
  writeState("gan-walk", walk === "1,2,0.5" ? null : walk);
  writeState("gan-digit", digit === 0 ? null : digit);
}

/** Takes what the address says; what it does not say, or says wrongly, is as at the beginning. */
function restoreGan(gan) {
  const { epochs } = pageData().gan;
  const said = readState();
  const whole = (text, low, high, otherwise) => {
    const value = /^\d{1,9}$/.test(text || "") ? Number(text) : NaN;
    return value >= low && value <= high ? value : otherwise;
  };
  const [first, second, t] = (said["gan-walk"] || "").split(",");
  const position = epochs.indexOf(whole(said["gan-epoch"], 0, 1e9, -1));
  const share = /^(0|1|0?\.\d+)$/.test(t || "") ? Number(t) : 0.5;
  setGan(gan, {
    epoch: position < 0 ? epochs.length - 1 : position,
    seed: whole(said["gan-seed"], 0, 1e9, 0),
    ends: [whole(first, 1, GAN_IMAGES, 1) - 1, whole(second, 1, GAN_IMAGES, 2) - 1],
    step: Math.round(share * GAN_WALK_STEPS),
    digit: whole(said["gan-digit"], 0, digits().images.length - 1, 0),
  });
}

/** Draws other noises: those of the next seed. */
function newNoises(gan) {
  stopWalk(gan);
  setGan(gan, { seed: (gan.seed + 1) % 1e9 });
  setText(gan.said, "gan_new_said", { seed: gan.seed });
}

/** Makes an image an end of the walk: the first and the second in turn. */
function chooseEnd(gan, i) {
  stopWalk(gan);
  const ends = [...gan.ends];
  ends[gan.nextEnd] = i;
  setText(gan.said, "gan_end_said", { image: i + 1, end: "AB"[gan.nextEnd] });
  setGan(gan, { ends, nextEnd: 1 - gan.nextEnd });
}

function nextDigit(gan) {
  setGan(gan, { digit: (gan.digit + 7) % digits().images.length });
}

/** Walks from A to B and back until it is stopped; only a press starts it. */
function startWalk(gan) {
  setText(gan.play, "gan_stop");
  const began = performance.now() - (gan.step / GAN_WALK_STEPS) * GAN_WALK_SECONDS * 1000;
  const move = (now) => {
    const phase = ((now - began) / (GAN_WALK_SECONDS * 1000)) % 2;
    gan.step = Math.round(GAN_WALK_STEPS * Math.min(Math.max(phase < 1 ? phase : 2 - phase, 0), 1));
    gan.update();
    gan.playing = requestAnimationFrame(move);
  };
  gan.playing = requestAnimationFrame(move);
}

function stopWalk(gan) {
  if (!gan.playing) return;
  cancelAnimationFrame(gan.playing);
  gan.playing = 0;
  setText(gan.play, "gan_play");
  writeGan(gan);
}

/** Returns the image of a noise at the chosen epoch and the probability that D of the same epoch gives it. */
function generateAndJudge(gan, noise) {
  const pixels = forward(network(pageData().gan.generators[gan.epoch]), noise);
  return { pixels, probability: judge(gan, pixels) };
}

/** Returns D(x) of the chosen epoch: how likely it takes an image to be of the data. */
function judge(gan, pixels) {
  return sigmoid(forward(network(pageData().gan.discriminators[gan.epoch]), pixels)[0]);
}

/** Returns the images of all the noises at the chosen epoch; those made once are kept until there are other noises. */
function imagesOfEpoch(gan) {
  if (gan.noisesOf !== gan.seed) {
    const { noise, noise_dim: dim } = pageData().gan;
    const random = createRandom(gan.seed);
    Object.assign(gan, { noises: gan.cells.map(() => sampleNoise(random, noise, dim)), noisesOf: gan.seed });
    gan.made.clear();
  }
  if (!gan.made.has(gan.epoch))
    gan.made.set(
      gan.epoch,
      gan.noises.map((noise) => generateAndJudge(gan, noise)),
    );
  return gan.made.get(gan.epoch);
}

/** Returns the noise at the walk's place: along the sphere near which Gaussian noise lies, else straight. */
function walkNoise({ noises, ends: [a, b], step }) {
  const between = pageData().gan.noise === "gaussian" ? sphericalInterpolate : interpolate;
  return between(noises[a], noises[b], step / GAN_WALK_STEPS);
}

/** Shows everything as it stands; what has not changed is not computed again. */
function showGan(gan) {
  const { epochs } = pageData().gan;
  const images = imagesOfEpoch(gan);
  gan.epochSlider.value = gan.epoch;
  gan.epochSlider.setAttribute("aria-valuetext", t("gan_epoch", { epoch: epochs[gan.epoch] }));
  gan.epochText.textContent = t("gan_epoch", { epoch: epochs[gan.epoch] });
  gan.cells.forEach((cell, i) => showGanCell(gan, cell, images[i], i));
  const place = decimals(gan.step / GAN_WALK_STEPS, 2);
  gan.walkSlider.value = gan.step;
  gan.walkText.textContent = t("gan_walk_at", { t: place });
  gan.walkSlider.setAttribute("aria-valuetext", t("gan_walk_at", { t: place }));
  showOnce(gan.walk, [gan.seed, gan.epoch, ...gan.ends, gan.step], () => generateAndJudge(gan, walkNoise(gan)));
  const judged = (pixels) => () => ({ pixels, probability: hasInk(pixels) ? judge(gan, pixels) : null });
  const test = digits().images[gan.digit];
  gan.test.element.hidden = gan.other.hidden = !test;
  if (test) showOnce(gan.test, [gan.epoch, gan.digit], judged(test));
  showOnce(gan.own, [gan.epoch, currentDrawing()], judged(currentDrawing()));
  for (const [judged, key] of [
    [gan.walk, "gan_d_walk"],
    [gan.test, "gan_d_test"],
    [gan.own, "gan_d_own"],
  ]) {
    if (!judged.shown) continue;
    const d = judged.probability === null ? ABSENT : decimals(judged.probability, 2);
    judged.number.textContent = t(key, { d });
  }
}

function showGanCell(gan, cell, made, i) {
  const d = decimals(made.probability, 2);
  showOnce(cell, [gan.seed, gan.epoch], () => made);
  cell.number.textContent = t("gan_d", { d });
  const names = ["A", "B"].filter((_, end) => gan.ends[end] === i).join("");
  cell.end.textContent = names;
  cell.button.setAttribute("aria-pressed", String(names !== ""));
  cell.button.setAttribute("aria-label", t(names ? "gan_cell_end" : "gan_cell", { image: i + 1, d, end: names }));
}

/** Shows what `make` returns, {pixels, probability}, unless it was made of the same things already. */
function showOnce(judged, of, make) {
  if (judged.shown && judged.shown.length === of.length && judged.shown.every((thing, i) => thing === of[i])) return;
  const { pixels, probability } = make();
  Object.assign(judged, { shown: of, probability });
  drawImage28(judged.canvas, pixels);
  judged.bar.style.width = `${100 * probability}%`;
}
