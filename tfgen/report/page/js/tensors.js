// Weights from base64, and the forward pass of dense networks. No DOM: the tests and the worker run it too.

const BASE64_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64_VALUES = new Uint8Array(128);
for (let value = 0; value < 64; value++) BASE64_VALUES[BASE64_DIGITS.charCodeAt(value)] = value;

/** Returns the bytes, a Uint8Array, that a text of base64 (RFC 4648, padded, no line breaks) stands for. */
function decodeBase64(text) {
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const bytes = new Uint8Array((text.length / 4) * 3 - padding);
  for (let i = 0, j = 0; i < text.length; i += 4) {
    let word = 0;
    for (let digit = 0; digit < 4; digit++) word = (word << 6) | BASE64_VALUES[text.charCodeAt(i + digit)];
    // What lies beyond the end, of the padding, a typed array drops.
    bytes[j++] = word >> 16;
    bytes[j++] = word >> 8;
    bytes[j++] = word;
  }
  return bytes;
}

/** Returns n numbers of `size` bytes each, as `read(view, offset)` reads them: little-endian on every machine. */
function decodeNumbers(text, ArrayType, size, read) {
  const bytes = decodeBase64(text);
  const view = new DataView(bytes.buffer);
  return ArrayType.from({ length: bytes.length / size }, (_, i) => read(view, i * size));
}

/** Returns the Float32Array in base64 of little-endian float32. */
function decodeFloat32(text) {
  return decodeNumbers(text, Float32Array, 4, (view, offset) => view.getFloat32(offset, true));
}

/** Returns the Float32Array in base64 of little-endian float16. */
function decodeFloat16(text) {
  return decodeNumbers(text, Float32Array, 2, (view, offset) => halfToFloat(view.getUint16(offset, true)));
}

/** Returns the number that 16 bits of IEEE 754 binary16 stand for: (-1)^sign 2^(exponent - 15) 1.fraction. */
function halfToFloat(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Returns a layer's kernel, Float32Array of (outputs, inputs) by rows; int8 weights are scale[output] * q. */
function decodeKernel(layer) {
  if (layer.encoding === "float32") return decodeFloat32(layer.kernel);
  if (layer.encoding === "float16") return decodeFloat16(layer.kernel);
  if (layer.encoding !== "int8") throw new Error(`encoding must be int8, float16 or float32; got ${layer.encoding}`);
  const q = new Int8Array(decodeBase64(layer.kernel).buffer);
  const scale = decodeFloat32(layer.scale);
  const kernel = new Float32Array(q.length);
  for (let output = 0, i = 0; output < layer.outputs; output++) {
    for (const end = i + layer.inputs; i < end; i++) kernel[i] = scale[output] * q[i];
  }
  return kernel;
}

/** Returns a network, a list of {inputs, outputs, kernel (outputs * inputs), bias (outputs), activate}, of its JSON. */
function decodeNetwork(json) {
  return json.layers.map((layer) => {
    const { inputs, outputs, activation } = layer;
    const [kernel, bias, activate] = [decodeKernel(layer), decodeFloat32(layer.bias), ACTIVATIONS[activation]];
    if (!activate) throw new Error(`activation must be one of ${Object.keys(ACTIVATIONS)}; got ${activation}`);
    if (kernel.length !== inputs * outputs || bias.length !== outputs) {
      throw new Error(`a layer from ${inputs} to ${outputs} has ${kernel.length} weights, ${bias.length} biases`);
    }
    return { inputs, outputs, kernel, bias, activate };
  });
}

/** Returns the output of a network for one input: Float32Array (inputs) -> a new Float32Array (outputs). */
function forward(network, x) {
  let hidden = x;
  for (const layer of network) hidden = layer.activate(affine(layer, hidden));
  return hidden;
}

/** Returns W x + b, Float32Array (outputs). Four sums at a time: one alone waits for its own last addition. */
function affine({ inputs, outputs, kernel, bias }, x) {
  if (x.length !== inputs) throw new Error(`the layer takes ${inputs} numbers, got ${x.length}`);
  const y = new Float32Array(outputs);
  const whole = inputs - (inputs % 4);
  for (let output = 0, row = 0; output < outputs; output++, row += inputs) {
    let [a, b, c, d] = [bias[output], 0, 0, 0];
    let i = 0;
    for (; i < whole; i += 4) {
      a += kernel[row + i] * x[i];
      b += kernel[row + i + 1] * x[i + 1];
      c += kernel[row + i + 2] * x[i + 2];
      d += kernel[row + i + 3] * x[i + 3];
    }
    for (; i < inputs; i++) a += kernel[row + i] * x[i];
    y[output] = a + b + (c + d);
  }
  return y;
}

/** Returns the logistic function 1 / (1 + exp(-x)), in [0, 1]; no exponential overflows. */
function sigmoid(x) {
  if (x >= 0) return 1 / (1 + Math.exp(-x));
  const e = Math.exp(x);
  return e / (1 + e);
}

/** Returns log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)), which is finite at every finite x. */
function softplus(x) {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}

/** Returns the standard normal distribution function by its Taylor series, or 0 or 1 where no float32 differs. */
function normalCdf(x) {
  if (Math.abs(x) > 6) return x > 0 ? 1 : 0;
  // Phi(x) = 1/2 + phi(x) (x + x^3 / 3 + x^5 / (3 * 5) + ...), of terms of one sign.
  let [term, sum] = [x, x];
  for (let n = 3; Math.abs(term) > 1e-17 * Math.abs(sum); n += 2) sum += term *= (x * x) / n;
  return 0.5 + (Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI)) * sum;
}

// Klambauer et al. 2017, section 2: what keeps mean 0 and variance 1.
const SELU_ALPHA = 1.6732632423543772;
const SELU_SCALE = 1.0507009873554805;
const elu = (x, alpha = 1) => (x > 0 ? x : alpha * Math.expm1(x));

// As Keras 3 defines them: gelu is the exact one, x Phi(x); leaky_relu has the slope 0.2.
const SCALAR_ACTIVATIONS = {
  relu: (x) => (x > 0 ? x : 0),
  sigmoid,
  tanh: Math.tanh,
  softplus,
  elu: (x) => elu(x),
  gelu: (x) => x * normalCdf(x),
  leaky_relu: (x) => (x > 0 ? x : 0.2 * x),
  selu: (x) => SELU_SCALE * elu(x, SELU_ALPHA),
  silu: (x) => x * sigmoid(x),
};

/** Returns the function that applies a function of one number to each of an array, in place, and returns the array. */
function elementwise(activation) {
  return (values) => {
    for (let i = 0; i < values.length; i++) values[i] = activation(values[i]);
    return values;
  };
}

/** From a name to the activation of a Float32Array, in place. */
const ACTIVATIONS = { linear: (values) => values };
for (const name of Object.keys(SCALAR_ACTIVATIONS)) ACTIVATIONS[name] = elementwise(SCALAR_ACTIVATIONS[name]);
