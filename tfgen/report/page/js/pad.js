// The drawing of the page: one, shared by all parts. createPad() returns a grid to draw on with its buttons and test digits.

const drawingCallbacks = [];
let drawing = new Float32Array(784);

/** Returns the drawing as MNIST has its digits, Float32Array (784) in [0, 1]. Not to be changed. */
function currentDrawing() {
  return drawing;
}

/** Calls the callback after each change of the drawing, at most once a frame. */
function onDrawing(callback) {
  drawingCallbacks.push(callback);
}

/** Returns the element of a pad: as many as wanted, all showing the one drawing. */
function createPad() {
  return element("div", { class: "pad" });
}
