// What the page shows, in its address: #ANCHOR!key=value&key=value, such as #live-draw!digit=37&lang=zh.
// ANCHOR is an element's id, as in any address, and may be empty; keys and values are escaped as in a query.
// A plain #A5 (a link of the page) keeps what is shown. Keys of the whole page: lang=zh, and digit or draw, the drawing
// (see pad.js); of one part: mask=1 (draw.js), and what begins with the part's name, such as elbo-binary.

const WRITE_DELAY = 400; // ms: Safari allows 100 changes of the address in 30 seconds
const stateCallbacks = [];
let state = {};
let stateTimer = 0;

/** Returns what the address says, or will in a moment, as {key: text}. */
function readState() {
  return { ...state };
}

/** Puts a text under a key into the address, or takes the key out with null. It adds nothing to the history. */
function writeState(key, text) {
  if ((key in state ? state[key] : null) === text) return;
  if (text === null) delete state[key];
  else state[key] = String(text);
  clearTimeout(stateTimer);
  stateTimer = setTimeout(writeAddress, WRITE_DELAY);
}

/** Calls the callback when the address has changed from outside: by Back, a link, or someone typing. */
function onState(callback) {
  stateCallbacks.push(callback);
}

/** Returns {anchor, state} of the part of an address after #; state is null where there is none. */
function parseHash(hash) {
  const text = hash.replace(/^#/, "");
  const at = text.indexOf("!");
  if (at < 0) return { anchor: text, state: null };
  return { anchor: text.slice(0, at), state: Object.fromEntries(new URLSearchParams(text.slice(at + 1))) };
}

function writeAddress() {
  const { anchor } = parseHash(location.hash);
  const text = new URLSearchParams(state).toString().replace(/%2C/g, ",");
  history.replaceState(history.state, "", `#${anchor}${text ? `!${text}` : ""}`);
}

/** Scrolls to the anchor of the address, which the browser itself finds only where no state follows. */
function scrollToAnchor() {
  const { anchor } = parseHash(location.hash);
  const target = anchor && document.getElementById(anchor);
  if (target) target.scrollIntoView({ behavior: "instant" });
}

/** Takes the state of the address, now and whenever it changes. */
function startState() {
  state = parseHash(location.hash).state || {};
  addEventListener("hashchange", () => {
    clearTimeout(stateTimer);
    const parsed = parseHash(location.hash);
    // A link within the page keeps what is shown, and what is shown stays in the address.
    if (parsed.state === null) return writeAddress();
    state = parsed.state;
    scrollToAnchor();
    for (const callback of stateCallbacks) callback();
  });
}
