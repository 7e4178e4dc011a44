/** Fills the live part in its body. */
function startElbo(body) {}
