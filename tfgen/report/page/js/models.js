// The formulas of the lecture for one image, seeded random numbers, a drawing centred as MNIST's digits. No DOM.
// Divergences and log-likelihoods are in nats, summed over pixels or latents.

/** Returns ||x - y||^2, summed over pixels (lecture A4). */
function squaredError(x, y) {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += (x[i] - y[i]) ** 2;
  return sum;
}

/**
 * Returns log p(x) = sum_i [x_i log s(l_i) + (1 - x_i) log(1 - s(l_i))] of pixels x in [0, 1], in nats, <= 0.
 * As -sum_i [softplus(l_i) - x_i l_i], finite at every logit l (Kingma & Welling 2013, appendix C.1).
 */
function bernoulliLogProb(x, logits) {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum -= bernoulliCrossEntropy(x[i], logits[i]);
  return sum;
}

/** Returns -[x log s(l) + (1 - x) log(1 - s(l))] of one pixel in nats, exactly 0 where l is sure and right. */
function bernoulliCrossEntropy(x, logit) {
  return Math.max(logit, 0) - x * logit + Math.log1p(Math.exp(-Math.abs(logit)));
}

/**
 * Returns KL(N(mu, diag sigma^2) || N(0, I)) = -1/2 sum_j (1 + log sigma_j^2 - mu_j^2 - sigma_j^2), in nats, >= 0,
 * of mu = zMean and log sigma^2 = zLogVar (Kingma & Welling 2013, appendix B; lecture B3).
 */
function klDivergence(zMean, zLogVar) {
  let sum = 0;
  // expm1 keeps the digits that 1 + logVar - exp(logVar) loses near the standard normal.
  for (let j = 0; j < zMean.length; j++) sum += zMean[j] ** 2 + Math.expm1(zLogVar[j]) - zLogVar[j];
  return 0.5 * sum;
}

/** Returns exp(l_k) / sum_j exp(l_j), a Float32Array adding up to 1; the largest logit is subtracted from all. */
function softmax(logits) {
  const largest = Math.max(...logits);
  const weights = Float64Array.from(logits, (logit) => Math.exp(logit - largest));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return Float32Array.from(weights, (weight) => weight / total);
}

/** Returns z = mu + sigma * epsilon, Float32Array (latents): the reparameterisation trick (K & W 2013, section 2.4). */
function reparameterise(zMean, zLogVar, epsilon) {
  return Float32Array.from(zMean, (mean, j) => mean + Math.exp(0.5 * zLogVar[j]) * epsilon[j]);
}

/**
 * Returns the terms of -ELBO(x) = reconstruction + kl, in nats, with one draw z of q(z|x) (lecture B3):
 * reconstruction = -log p(x|z), kl = KL(q(z|x) || p(z)); with z and the logits of p(x|z).
 * encoder: {mean, logVar}, two networks of x; decoder: a network of z; epsilon: (latents), drawn from N(0, I).
 */
function elboTerms(x, encoder, decoder, epsilon) {
  const [zMean, zLogVar] = [forward(encoder.mean, x), forward(encoder.logVar, x)];
  const z = reparameterise(zMean, zLogVar, epsilon);
  const logits = forward(decoder, z);
  return { reconstruction: -bernoulliLogProb(x, logits), kl: klDivergence(zMean, zLogVar), z, logits };
}

/** Returns the ellipse of a two-dimensional q(z|x) at so many standard deviations from its mean; axes are parallel. */
function posteriorEllipse(mean, logVar, deviations) {
  const [radiusX, radiusY] = [0, 1].map((axis) => deviations * Math.exp(0.5 * logVar[axis]));
  return { x: mean[0], y: mean[1], radiusX, radiusY };
}

/**
 * Returns how badly an autoencoder gives an image back: error = ||x - x'||^2, error per ink = error / max(sum x, 1),
 * and heat, the squared error of each pixel, Float32Array (pixels) in [0, 1], which adds up to the error.
 */
function anomalyScore(x, reconstruction) {
  const error = squaredError(x, reconstruction);
  const ink = x.reduce((sum, pixel) => sum + pixel, 0);
  return { error, perInk: error / Math.max(ink, 1), heat: x.map((pixel, i) => (pixel - reconstruction[i]) ** 2) };
}

/** Returns the straight line's point (1 - t) a + t b, Float32Array; a at t = 0 and b at t = 1. */
function interpolate(a, b, t) {
  return combine(a, 1 - t, b, t);
}

/**
 * Returns the great circle's point sin((1 - t) w) / sin(w) a + sin(t w) / sin(w) b, w the angle between a and b
 * (Shoemake 1985); straight where they are parallel or one is 0. Points of equal norm keep it.
 */
function sphericalInterpolate(a, b, t) {
  const cosine = dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
  // Both ways round are as short where b is -a, and none leads to 0.
  if (!(Math.abs(cosine) < 1 - 1e-9)) return interpolate(a, b, t);
  const angle = Math.acos(cosine);
  return combine(a, Math.sin((1 - t) * angle) / Math.sin(angle), b, Math.sin(t * angle) / Math.sin(angle));
}

function combine(a, weightOfA, b, weightOfB) {
  return Float32Array.from(a, (value, i) => weightOfA * value + weightOfB * b[i]);
}

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** Returns a function to 32 random bits: xoshiro128** (Blackman & Vigna 2021) of a state of four of them, not all 0. */
function xoshiro128(state) {
  const s = Uint32Array.from(state);
  const rotate = (word, bits) => (word << bits) | (word >>> (32 - bits));
  return () => {
    const result = Math.imul(rotate(Math.imul(s[1], 5), 7), 9) >>> 0;
    const shifted = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate(s[3], 11);
    return result;
  };
}

/** Returns four words that differ in about half of their bits from seed to seed: MurmurHash3's last step, of a count. */
function seedWords(seed) {
  return [1, 2, 3, 4].map((count) => {
    let word = (seed + Math.imul(count, 0x9e3779b9)) | 0;
    word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
    word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
    return (word ^ (word >>> 16)) >>> 0;
  });
}

/**
 * Returns {uniform() in [0, 1), normal() from N(0, 1), integer(n) in 0 ... n - 1}: the same of a seed, a whole number,
 * in every browser (normal() but for the rounding of its logarithm and cosine).
 */
function createRandom(seed) {
  const bits = xoshiro128(seedWords(seed));
  let spare = null;
  // Multiples of 2^-24, exact in float32, as the package draws them.
  const uniform = () => (bits() >>> 8) * 2 ** -24;
  function normal() {
    const kept = spare;
    spare = null;
    if (kept !== null) return kept;
    // Box & Muller 1958; 1 - uniform is never 0.
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
  return { uniform, normal, integer: (n) => Math.floor(uniform() * n) };
}

/** Returns n draws from N(0, 1), Float32Array. */
function normalArray(random, n) {
  return Float32Array.from({ length: n }, random.normal);
}

/** Of a GAN's noise z, one number: the distributions of the package. The last one has the variance 1. */
const NOISES = {
  uniform: (random) => 2 * random.uniform() - 1,
  gaussian: (random) => random.normal(),
  "unit-variance uniform": (random) => Math.sqrt(3) * (2 * random.uniform() - 1),
};

/** Returns the noise z of a GAN, Float32Array (dim): of a kind in NOISES. */
function sampleNoise(random, kind, dim) {
  if (!NOISES[kind]) throw new Error(`noise must be one of ${Object.keys(NOISES)}; got ${kind}`);
  return Float32Array.from({ length: dim }, () => NOISES[kind](random));
}

const BINARY_SEED = 2;
const MASK_SEED = 1;

/**
 * Returns an image of zeros and ones, which a VAE with p(x|z) of Bernoulli pixels is trained on: 1 where a pixel is at
 * least 1/2 or, where how is "drawn", with the pixel's grey as the probability, the same ones every time.
 */
function binarise(x, how = "threshold") {
  const random = createRandom(BINARY_SEED);
  return x.map((pixel) => ((how === "drawn" ? random.uniform() < pixel : pixel >= 0.5) ? 1 : 0));
}

/** Returns an image with pixels hidden with probability 1/2, the same ones every time: masking noise. */
function maskPixels(x) {
  const random = createRandom(MASK_SEED);
  return x.map((pixel) => (random.uniform() < 0.5 ? 0 : pixel));
}

const DIGIT_SIZE = 28;
const INK_SIZE = 20;

/**
 * Returns a drawing as MNIST has its digits, Float32Array (784) in [0, 1]: the box of the ink scaled to fit into 20 x 20,
 * ratio kept, its centre of mass moved by whole pixels to the middle of 28 x 28 (LeCun et al. 1998, section III.A).
 * pixels: (height * width) in [0, 1], by rows, ink 1. No ink is cut off: the move stops at the edge.
 */
function centreDigit(pixels, height, width) {
  const digit = new Float32Array(DIGIT_SIZE ** 2);
  const box = inkBox(pixels, height, width);
  if (box === null) return digit;
  const side = Math.max(box.bottom - box.top, box.right - box.left);
  const ink = averageAreas(pixels, height, width, box.top, box.left, side, INK_SIZE);
  const inked = inkBox(ink, INK_SIZE, INK_SIZE);
  const mass = centreOfMass(ink, INK_SIZE, INK_SIZE);
  const down = shiftToMiddle(mass.row, inked.top, inked.bottom);
  const right = shiftToMiddle(mass.column, inked.left, inked.right);
  for (let row = inked.top; row < inked.bottom; row++) {
    for (let column = inked.left; column < inked.right; column++) {
      digit[(row + down) * DIGIT_SIZE + column + right] = ink[row * INK_SIZE + column];
    }
  }
  return digit;
}

/** Returns {top, left, bottom, right} of the pixels above 0, the last two exclusive; null where none is. */
function inkBox(pixels, height, width) {
  let [top, left, bottom, right] = [height, width, 0, 0];
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      if (!(pixels[row * width + column] > 0)) continue;
      [top, bottom] = [Math.min(top, row), row + 1];
      [left, right] = [Math.min(left, column), Math.max(right, column + 1)];
    }
  }
  return bottom ? { top, left, bottom, right } : null;
}

/** Returns (size, size) means over equal squares of the square of the given side; what is outside the picture is 0. */
function averageAreas(pixels, height, width, top, left, side, size) {
  const averages = new Float32Array(size * size);
  const step = side / size;
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const [rows, columns] = [overlaps(y * step, step, height - top), overlaps(x * step, step, width - left)];
      let sum = 0;
      for (const [row, share] of rows) {
        for (const [column, part] of columns) sum += share * part * pixels[(top + row) * width + left + column];
      }
      averages[y * size + x] = Math.min(sum / step ** 2, 1);
    }
  }
  return averages;
}

/** Returns [[pixel, length], ...]: how much of each of the `count` pixels [i, i + 1) lies in [start, start + length). */
function overlaps(start, length, count) {
  const parts = [];
  for (let i = Math.floor(start); i < Math.min(start + length, count); i++) {
    const part = Math.min(i + 1, start + length) - Math.max(i, start);
    // Less is the rounding of start.
    if (part > 1e-9) parts.push([i, part]);
  }
  return parts;
}

/** Returns the mean {row, column} of the ink, in whole numbers at the pixels' middles; pixels not all 0. */
function centreOfMass(pixels, height, width) {
  let [mass, row, column] = [0, 0, 0];
  for (let i = 0; i < height * width; i++) {
    mass += pixels[i];
    row += pixels[i] * Math.floor(i / width);
    column += pixels[i] * (i % width);
  }
  return { row: row / mass, column: column / mass };
}

/** Returns the whole number of pixels that brings a centre of mass to MNIST's middle, [first, end) staying inside. */
function shiftToMiddle(centre, first, end) {
  // Of MNIST's own digits the centres of mass lie around 14, counted from the middle of the first pixel.
  const shift = Math.round(DIGIT_SIZE / 2 - centre);
  return Math.min(Math.max(shift, -first), DIGIT_SIZE - end);
}
