// The worker around gan_1d.js: it trains between messages, so that the page stays alive.
// In: {type: "start", options, every (milliseconds between states)} | {type: "pause"} | {type: "resume"}.
// Out: {type: "state", iteration, seconds (of training), densities, losses, finished} | {type: "error", message}.

/** What trains: {gan, every, seconds, losses of the last iteration or null}; null before a start and after a failure. */
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
  timer = training && !lineFinished(training.gan) ? setTimeout(() => guarded(turn), 0) : null;
}

/** Trains for `every` milliseconds or to the end, and says where it stands. */
function turn() {
  const began = performance.now();
  let elapsed = 0;
  while (elapsed < training.every && !lineFinished(training.gan)) {
    training.losses = lineGanStep(training.gan);
    elapsed = performance.now() - began;
  }
  training.seconds += elapsed / 1000;
  postState();
  schedule();
}

function postState() {
  const { gan, seconds, losses } = training;
  self.postMessage(lineState(gan, seconds, losses));
}

function pause() {
  clearTimeout(timer);
}

/** Runs an action; where it fails the page hears of it and the training ends. */
function guarded(action) {
  try {
    action();
  } catch (error) {
    pause();
    training = null;
    self.postMessage({ type: "error", message: error.message });
  }
}

const MESSAGES = { start, pause, resume: schedule };
self.onmessage = ({ data }) => guarded(() => MESSAGES[data.type](data));
