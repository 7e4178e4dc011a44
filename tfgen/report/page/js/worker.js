// The worker around gan_1d.js: it trains between messages, so that the page stays alive.
// In: {type: "start", options, every (milliseconds between states)} | {type: "pause"} | {type: "resume"} | {type: "stop"}.
// Out: {type: "state", iteration, seconds (of training), densities, losses, finished} | {type: "error", message}.

/** Of the densities, and the pieces of z that p_g is made of. */
const BINS = 200;
const PIECES_OF_NOISE = 1000;

/** What trains: {gan, every, seconds, losses of the last iteration or null}; null before a start and after a stop. */
let training = null;
/** Of the next turn, while it is not paused. */
let timer = null;

/** Begins to train with the options, in place of what trained; the first state is that of the fresh weights. */
function start({ options, every }) {
  training = { gan: createLineGan(options), every: every || 100, seconds: 0, losses: null };
  postState();
  schedule();
}

/** Lets waiting messages in, then takes a turn. */
function schedule() {
  clearTimeout(timer);
  timer = training && !finished(training.gan) ? setTimeout(() => guarded(turn), 0) : null;
}

/** Trains for `every` milliseconds or to the end, and says where it stands. */
function turn() {
  const began = performance.now();
  let elapsed = 0;
  while (elapsed < training.every && !finished(training.gan)) {
    training.losses = lineGanStep(training.gan);
    elapsed = performance.now() - began;
  }
  training.seconds += elapsed / 1000;
  postState();
  schedule();
}

/** Returns whether the rates have reached 0; a GAN whose rates stay never finishes. */
function finished({ iteration, options }) {
  return options.iterations !== null && iteration >= options.iterations;
}

function postState() {
  const { gan, seconds, losses } = training;
  const densities = lineGanDensities(gan, BINS, PIECES_OF_NOISE);
  if (!Number.isFinite(densities.jensenShannon)) throw new Error("the training has left the finite numbers");
  self.postMessage({
    type: "state",
    iteration: gan.iteration,
    seconds,
    densities,
    losses,
    finished: finished(gan),
  });
}

function pause() {
  clearTimeout(timer);
}

function stop() {
  pause();
  training = null;
}

/** Runs an action; where it fails the page hears of it and the training ends. */
function guarded(action) {
  try {
    action();
  } catch (error) {
    stop();
    self.postMessage({ type: "error", message: error.message });
  }
}

const MESSAGES = { start, pause, resume: schedule, stop };
self.onmessage = ({ data }) => guarded(() => MESSAGES[data.type](data));
