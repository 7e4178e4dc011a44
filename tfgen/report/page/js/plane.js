/** Fills the live part in its body. */
function startPlane(body) {}
