// Starts the page: its address, its language, its live parts. Each start builds its elements at once, so that nothing
// moves later, and waits with onFrameSeen or whenSeen before it decodes networks or draws.

let parsedData = null;
const decodedNetworks = new Map();

/** Returns what Python has put into the page: see `_data` in tfgen/report/page.py. */
function pageData() {
  if (parsedData === null) parsedData = JSON.parse(document.getElementById("page-data").textContent);
  return parsedData;
}

/** Returns whether the page has a network. */
function hasNetwork(name) {
  return name in pageData().networks;
}

/** Returns how many numbers a network of the page gives, known without decoding it, or a dash where there is none. */
function outputsOf(name) {
  if (!hasNetwork(name)) return ABSENT;
  const { layers } = pageData().networks[name];
  return layers[layers.length - 1].outputs;
}

/** Returns a network for forward(), decoded when it is first asked for, or null where the page has none. */
function network(name) {
  if (!hasNetwork(name)) return null;
  if (!decodedNetworks.has(name)) decodedNetworks.set(name, decodeNetwork(pageData().networks[name]));
  return decodedNetworks.get(name);
}

function startPage() {
  startState();
  startLanguage();
  startCanvas();
  startPad();
  const starts = {
    "live-draw": startDraw,
    "live-plane": startPlane,
    "live-elbo": startElbo,
    "live-gan": startGan,
    "live-line": startLine,
  };
  for (const [id, start] of Object.entries(starts)) {
    const body = document.querySelector(`#${id} .live-body`);
    if (body) start(body);
  }
  scrollToAnchor();
}

startPage();
