// For nginx's njs, 0.7.9 or later. Lets a request through to TensorFlow Serving only if every input has the shape of
// its signature and between 1 and 1,024 examples. While the server batches, an empty request holds a thread for ever,
// and one of another width fails the others in its batch.
const MOST_EXAMPLES = 1024;
const KEYS = ["signature_name", "instances", "inputs"];

async function check(r) {
    const reply = await r.subrequest("/signatures" + r.uri.slice(0, -":predict".length));
    if (reply.status !== 200) {
        answer(r, reply.status, reply.responseText);
        return;
    }
    const refused = refusal(r.requestText, JSON.parse(reply.responseText).metadata.signature_def.signature_def);
    if (refused) {
        answer(r, 400, JSON.stringify({error: refused}));
    } else {
        r.internalRedirect("@server");
    }
}

function answer(r, status, text) {
    r.headersOut["Content-Type"] = "application/json";
    r.return(status, text);
}

// Returns why a request must not reach the server, or "".
function refusal(text, signatures) {
    let body;
    try {
        body = JSON.parse(text);
    } catch (error) {
        return `the request is not JSON: ${error.message}`;
    }
    if (!isObject(body)) {
        return "the request must be an object";
    }
    const unknown = Object.keys(body).filter((key) => !KEYS.includes(key));
    if (unknown.length > 0) {
        return `unknown key ${unknown[0]}; allowed: ${KEYS.join(", ")}`;
    }
    if (has(body, "instances") === has(body, "inputs")) {
        return "give either instances or inputs";
    }
    const name = has(body, "signature_name") ? body.signature_name : "serving_default";
    if (typeof name !== "string" || name.startsWith("__") || !has(signatures, name)) {
        return `unknown signature ${name}; see /metadata`;
    }
    // Of a key that comes twice, the server may read the other value. So no text is allowed that was not seen here.
    if (text.includes("\\") || text.split('"').length - 1 !== 2 * texts(body)) {
        return "a key comes twice, or there is a text beside keys and signature_name";
    }
    const expected = signatures[name].inputs;
    const names = Object.keys(expected);
    const shapes = names.map((input) => shapeOf(body, input, names.length === 1));
    const wanted = names.map((input) => (expected[input].tensor_shape.dim || []).map((dim) => Number(dim.size)));
    const wrong = names.findIndex((input, index) => !fits(shapes[index], wanted[index]));
    if (wrong >= 0) {
        const found = shapes[wrong] ? `it has [${shapes[wrong]}]` : "it is missing";
        return `the input ${names[wrong]} of ${name} must have the shape [${wanted[wrong]}], -1 any number; ${found}`;
    }
    const counts = shapes.map((shape) => shape[0]);
    if (counts.some((count) => count !== counts[0] || count < 1 || count > MOST_EXAMPLES)) {
        return `give between 1 and ${MOST_EXAMPLES} examples, of every input as many; there are ${counts}`;
    }
    return "";
}

function fits(shape, wanted) {
    return shape && shape.length === wanted.length && wanted.every((size, axis) => size === -1 || size === shape[axis]);
}

// Returns an input's shape, along the first elements: the server itself refuses lists that differ from their siblings.
function shapeOf(body, input, only) {
    if (has(body, "inputs")) {
        return sizesOf(isObject(body.inputs) ? body.inputs[input] : only ? body.inputs : undefined);
    }
    const rows = body.instances;
    if (!Array.isArray(rows)) {
        return undefined;
    }
    if (rows.length === 0) {
        return sizesOf(rows);
    }
    const rest = sizesOf(isObject(rows[0]) ? rows[0][input] : only ? rows[0] : undefined);
    return rest && [rows.length].concat(rest);
}

function sizesOf(value) {
    if (value === undefined) {
        return undefined;
    }
    const sizes = [];
    for (; Array.isArray(value); value = value[0]) {
        sizes.push(value.length);
    }
    return sizes;
}

// Returns how many texts a request holds: its keys, those of its examples, and the signature's name.
function texts(body) {
    const objects = [body, body.inputs].concat(body.instances).filter(isObject);
    return objects.reduce((sum, object) => sum + Object.keys(object).length, has(body, "signature_name") ? 1 : 0);
}

function isObject(value) {
    return typeof value === "object" && value !== null && !Array.isArray(value);
}

function has(object, key) {
    return Object.prototype.hasOwnProperty.call(object, key);
}

export default {check, refusal};
