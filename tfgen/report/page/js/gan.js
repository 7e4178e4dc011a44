/** Fills the live part in its body. */
function startGan(body) {}
