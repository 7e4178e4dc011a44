// Calls TensorFlow Serving from a page of the same origin, such as one that nginx.conf serves, or from Node.js with the
// server's address.

// Returns the outputs of a signature: an array if it has one output, otherwise an object of arrays by name.
export async function predict(model, signature, inputs, server = "") {
    const response = await fetch(`${server}/v1/models/${encodeURIComponent(model)}:predict`, {
        method: "POST",
        headers: {"Content-Type": "application/json"},
        body: JSON.stringify({signature_name: signature, inputs}),
    });
    const text = await response.text();
    if (!response.ok) {
        throw new Error(`HTTP status ${response.status}: ${text}`);
    }
    return JSON.parse(text).outputs;
}

// Returns an image of each seed, as a URL for <img src>.
export async function pictures(model, seeds, server = "") {
    if (seeds.length === 0) {
        return [];  // The server waits for ever on an empty batch.
    }
    const files = await predict(model, "generate_png", {seed: seeds}, server);
    return files.map(({b64}) => `data:image/png;base64,${b64}`);
}
