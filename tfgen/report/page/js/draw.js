/** Fills the live part in its body. */
function startDraw(body) {}
