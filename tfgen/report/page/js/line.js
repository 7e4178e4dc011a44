/** Fills the live part in its body. */
function startLine(body) {}
