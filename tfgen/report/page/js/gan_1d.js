// A GAN on the line, trained in plain JavaScript: Goodfellow et al. 2014, algorithm 1 and figure 1. No DOM.
// G takes one number z ~ N(0, 1) to one number x; D takes x to the logit of D(x). All in float64; losses in nats.

/** What trains where nothing else is asked for: the package's recipe gan-1d with smaller networks. */
const DEFAULT_LINE_GAN = {
  seed: 0,
  dataMean: 1,
  dataStd: 0.5,
  generatorUnits: [16, 16],
  discriminatorUnits: [16, 16],
  activation: "tanh",
  k: 3,
  batchSize: 64,
  generatorRate: 3e-4,
  discriminatorRate: 3e-3,
  generatorLoss: "non-saturating",
  iterations: 4000,
};

/**
 * From an activation of the hidden layers to `apply`, which changes values in place, and `chain`, which multiplies the
 * gradient for the values y of a layer, in place, by their derivative, a function of y. Loops of their own are fast.
 */
const LINE_ACTIVATIONS = {
  tanh: {
    apply(y) {
      for (let i = 0; i < y.length; i++) y[i] = Math.tanh(y[i]);
    },
    chain(gradient, y) {
      for (let i = 0; i < y.length; i++) gradient[i] *= 1 - y[i] * y[i];
    },
  },
  relu: {
    apply(y) {
      for (let i = 0; i < y.length; i++) y[i] = Math.max(y[i], 0);
    },
    chain(gradient, y) {
      for (let i = 0; i < y.length; i++) gradient[i] *= y[i] > 0 ? 1 : 0;
    },
  },
  linear: { apply() {}, chain() {} },
};

/** From a generator's loss of one logit of D(G(z)), in nats, to its value and its derivative. */
const GENERATOR_LOSSES = {
  // -log D(G(z)): section 3, last paragraph.
  "non-saturating": { value: (logit) => softplus(-logit), slope: (logit) => -sigmoid(-logit) },
  // log(1 - D(G(z))), which V has and whose slope vanishes where D rejects the sample: equation 1.
  minimax: { value: (logit) => -softplus(logit), slope: (logit) => -sigmoid(logit) },
};

/** Adam's constants, Keras's defaults. */
const ADAM = { beta1: 0.9, beta2: 0.999, epsilon: 1e-7 };

/** Returns a GAN of the options, all of DEFAULT_LINE_GAN's, with fresh weights; iterations null keeps the rates. */
function createLineGan(options) {
  checkLineGan(options);
  const random = createRandom(options.seed);
  return {
    options,
    random,
    iteration: 0,
    generator: createLineNetwork(random, options.generatorUnits, options.activation),
    discriminator: createLineNetwork(random, options.discriminatorUnits, options.activation),
  };
}

/** Throws an Error that names the first option outside what is allowed. */
function checkLineGan(options) {
  const whole = (value) => Number.isInteger(value) && value > 0;
  const positive = (value) => Number.isFinite(value) && value > 0;
  const checks = {
    seed: Number.isInteger,
    dataMean: Number.isFinite,
    dataStd: positive,
    generatorUnits: (units) => units.length > 0 && units.every(whole),
    discriminatorUnits: (units) => units.length > 0 && units.every(whole),
    activation: (name) => name in LINE_ACTIVATIONS,
    k: whole,
    batchSize: whole,
    generatorRate: positive,
    discriminatorRate: positive,
    generatorLoss: (name) => name in GENERATOR_LOSSES,
    iterations: (count) => count === null || whole(count),
  };
  for (const name of Object.keys(checks)) {
    if (!checks[name](options[name])) throw new Error(`${name} cannot be ${JSON.stringify(options[name])}`);
  }
}

/** Returns {layers, adam} of a network from one number over the hidden units to one number, the last layer linear. */
function createLineNetwork(random, units, activation) {
  const widths = [1, ...units, 1];
  const layers = widths.slice(1).map((outputs, i) => {
    const last = i === units.length;
    return createLineLayer(random, widths[i], outputs, last ? "linear" : activation);
  });
  const zeros = () => layers.flatMap(lineWeights).map((weights) => new Float64Array(weights.length));
  return { layers, adam: { step: 0, m: zeros(), v: zeros() } };
}

/** Returns a layer, its kernel (outputs, inputs) by rows: uniform on +-sqrt(6 / (inputs + outputs)) as Keras begins. */
function createLineLayer(random, inputs, outputs, activation) {
  const limit = Math.sqrt(6 / (inputs + outputs));
  const kernel = Float64Array.from({ length: inputs * outputs }, () => limit * (2 * random.uniform() - 1));
  return { inputs, outputs, kernel, bias: new Float64Array(outputs), activation };
}

/** Returns the weights of a layer, [kernel, bias]: the order of all lists of gradients. */
function lineWeights(layer) {
  return [layer.kernel, layer.bias];
}

/** Returns the values of every layer, [input, hidden 1, ..., output], each Float64Array (rows * units) by rows. */
function lineForward(network, x) {
  const values = [x];
  for (const layer of network.layers) values.push(lineLayerForward(layer, values[values.length - 1]));
  return values;
}

/** Returns s(x W^T + b), Float64Array (rows * outputs), of x (rows * inputs). */
function lineLayerForward({ inputs, outputs, kernel, bias, activation }, x) {
  const y = new Float64Array((x.length / inputs) * outputs);
  for (let at = 0, from = 0; at < y.length; from += inputs) {
    for (let output = 0, weight = 0; output < outputs; output++) {
      let sum = bias[output];
      for (let i = 0; i < inputs; i++) sum += kernel[weight++] * x[from + i];
      y[at++] = sum;
    }
  }
  LINE_ACTIVATIONS[activation].apply(y);
  return y;
}

/** Returns the gradients of a loss for {weights, as lineWeights lists them, input} by the one for the output. */
function lineBackward(network, values, outputGradient) {
  const weights = [];
  let gradient = outputGradient;
  for (let i = network.layers.length - 1; i >= 0; i--) {
    const backward = lineLayerBackward(network.layers[i], values[i], values[i + 1], gradient);
    weights.unshift(backward.kernel, backward.bias);
    gradient = backward.input;
  }
  return { weights, input: gradient };
}

/** Returns the gradients for {kernel, bias, input} of a layer from x to y by the one for y, which it changes. */
function lineLayerBackward({ inputs, outputs, kernel, activation }, x, y, gradient) {
  LINE_ACTIVATIONS[activation].chain(gradient, y);
  const [kernelGradient, biasGradient] = [new Float64Array(kernel.length), new Float64Array(outputs)];
  const inputGradient = new Float64Array(x.length);
  for (let at = 0, from = 0; at < y.length; from += inputs) {
    for (let output = 0, weight = 0; output < outputs; output++, at++) {
      const delta = gradient[at];
      biasGradient[output] += delta;
      for (let i = 0; i < inputs; i++, weight++) {
        kernelGradient[weight] += delta * x[from + i];
        inputGradient[from + i] += delta * kernel[weight];
      }
    }
  }
  return { kernel: kernelGradient, bias: biasGradient, input: inputGradient };
}

/** Returns the mean of value(logit), and slope(logit) / n: the mean's derivative for each of n logits. */
function meanLoss(logits, { value, slope }) {
  const n = logits.length;
  return {
    loss: logits.reduce((sum, logit) => sum + value(logit), 0) / n,
    gradient: logits.map((logit) => slope(logit) / n),
  };
}

/**
 * Returns {loss, gradients} of D for data x and noise z, Float64Array (batch): loss = -V(D, G), in nats,
 * V = E[log D(x)] + E[log(1 - D(G(z)))] (equation 1); log D = -softplus(-logit), log(1 - D) = -softplus(logit).
 */
function discriminatorGradients(gan, x, z) {
  const fake = lineForward(gan.generator, z).pop();
  const [real, generated] = [x, fake].map((input) => {
    const values = lineForward(gan.discriminator, input);
    const onReal = { value: (logit) => softplus(-logit), slope: (logit) => -sigmoid(-logit) };
    const onFake = { value: softplus, slope: sigmoid };
    const { loss, gradient } = meanLoss(values[values.length - 1], input === x ? onReal : onFake);
    return { loss, gradients: lineBackward(gan.discriminator, values, gradient).weights };
  });
  const gradients = real.gradients.map((gradient, i) => gradient.map((g, j) => g + generated.gradients[i][j]));
  return { loss: real.loss + generated.loss, gradients };
}

/** Returns {loss, gradients} of G for noise z, Float64Array (batch), through D; the loss is the option generatorLoss. */
function generatorGradients(gan, z) {
  const made = lineForward(gan.generator, z);
  const values = lineForward(gan.discriminator, made[made.length - 1]);
  const { loss, gradient } = meanLoss(values[values.length - 1], GENERATOR_LOSSES[gan.options.generatorLoss]);
  const { input } = lineBackward(gan.discriminator, values, gradient);
  return { loss, gradients: lineBackward(gan.generator, made, input).weights };
}

/** Returns both networks' {loss, gradients} for the same weights, data x and noise z; changes nothing. */
function lineGanGradients(gan, x, z) {
  return { discriminator: discriminatorGradients(gan, x, z), generator: generatorGradients(gan, z) };
}

/** Takes one step of Adam (Kingma & Ba 2015, the form before section 2.1, as Keras has it) down the gradients. */
function adamStep(network, gradients, rate) {
  const { adam } = network;
  const { beta1, beta2, epsilon } = ADAM;
  adam.step += 1;
  const stepRate = (rate * Math.sqrt(1 - beta2 ** adam.step)) / (1 - beta1 ** adam.step);
  network.layers.flatMap(lineWeights).forEach((weights, i) => {
    const [m, v, gradient] = [adam.m[i], adam.v[i], gradients[i]];
    for (let j = 0; j < weights.length; j++) {
      m[j] += (1 - beta1) * (gradient[j] - m[j]);
      v[j] += (1 - beta2) * (gradient[j] * gradient[j] - v[j]);
      weights[j] -= (stepRate * m[j]) / (Math.sqrt(v[j]) + epsilon);
    }
  });
}

/** Returns the share of its rate that a network has left after so many of its steps: a cosine from 1 to 0. */
function cosineDecay(step, steps) {
  return 0.5 * (1 + Math.cos(Math.PI * Math.min(step / steps, 1)));
}

/** Returns data x ~ N(dataMean, dataStd^2), Float64Array (batchSize). */
function drawLineData({ options, random }) {
  return Float64Array.from({ length: options.batchSize }, () => options.dataMean + options.dataStd * random.normal());
}

/** Returns noise z ~ N(0, 1), Float64Array (batchSize). */
function drawLineNoise({ options, random }) {
  return Float64Array.from({ length: options.batchSize }, random.normal);
}

/**
 * Trains for one iteration of algorithm 1: k updates of D, each on fresh data and noise, then one of G.
 * Returns {discriminatorLoss (of the last of the k), generatorLoss, generatorGradientNorm}, each before its update.
 */
function lineGanStep(gan) {
  const { k, generatorRate, discriminatorRate, iterations } = gan.options;
  const left = (step, steps) => (iterations === null ? 1 : cosineDecay(step, steps));
  let discriminator;
  for (let j = 0; j < k; j++) {
    discriminator = discriminatorGradients(gan, drawLineData(gan), drawLineNoise(gan));
    const rate = discriminatorRate * left(gan.iteration * k + j, iterations * k);
    adamStep(gan.discriminator, discriminator.gradients, rate);
  }
  const generator = generatorGradients(gan, drawLineNoise(gan));
  adamStep(gan.generator, generator.gradients, generatorRate * left(gan.iteration, iterations));
  gan.iteration += 1;
  return {
    discriminatorLoss: discriminator.loss,
    generatorLoss: generator.loss,
    generatorGradientNorm: Math.sqrt(generator.gradients.reduce((sum, gradient) => sum + dot(gradient, gradient), 0)),
  };
}

/** Returns the edges of equal bins, (bins + 1): all but 6e-7 of the data, and where an untrained G begins. */
function lineEdges({ dataMean, dataStd }, bins) {
  const [low, high] = [Math.min(dataMean - 5 * dataStd, -2), Math.max(dataMean + 5 * dataStd, 2)];
  return Float64Array.from({ length: bins + 1 }, (_, i) => low + ((high - low) * i) / bins);
}

/** Returns exp(-((x - mean) / std)^2 / 2) / (std sqrt(2 pi)), the density of N(mean, std^2). */
function normalDensity(x, mean, std) {
  return Math.exp(-0.5 * ((x - mean) / std) ** 2) / (std * Math.sqrt(2 * Math.PI));
}

/** Returns the probability of N(mean, std^2) between neighbouring edges: Simpson's rule, scaled to add up to 1. */
function normalMasses(edges, mean, std) {
  const density = (x) => normalDensity(x, mean, std);
  const masses = new Float64Array(edges.length - 1);
  for (let i = 0; i < masses.length; i++) {
    const [a, b] = [edges[i], edges[i + 1]];
    masses[i] = ((b - a) / 6) * (density(a) + 4 * density((a + b) / 2) + density(b));
  }
  const total = masses.reduce((sum, mass) => sum + mass, 0);
  return masses.map((mass) => mass / total);
}

/**
 * Returns p_g, the probability of G(z) in each bin, z ~ N(0, 1); what lies beyond the edges is in the outermost bins.
 * No draws: each of the `samples` equal pieces of z in [-6, 6] spreads its probability evenly between its ends' G(z).
 */
function generatedMasses(gan, edges, samples) {
  const bins = edges.length - 1;
  const z = Float64Array.from({ length: samples + 1 }, (_, i) => -6 + (12 * i) / samples);
  const probability = normalMasses(z, 0, 1);
  const places = lineForward(gan.generator, z).pop().map((x) => ((x - edges[0]) / (edges[bins] - edges[0])) * bins);
  const masses = new Float64Array(bins);
  for (let i = 0; i < samples; i++) {
    const inside = [places[i], places[i + 1]].map((place) => Math.min(Math.max(place, 0), bins));
    spread(masses, Math.min(...inside), Math.max(...inside), probability[i]);
  }
  return masses;
}

/** Adds a probability to the bins [i, i + 1), spread evenly from start to end, or all of it where they are equal. */
function spread(masses, start, end, probability) {
  const first = Math.min(Math.floor(start), masses.length - 1);
  if (end <= first + 1) {
    masses[first] += probability;
    return;
  }
  for (const [bin, part] of overlaps(start, end - start, masses.length)) {
    masses[bin] += (probability * part) / (end - start);
  }
}

/** Returns D*(x) = p_data / (p_data + p_g), 1/2 where both are 0 (proposition 1); densities or masses, (bins). */
function optimalDiscriminator(pData, pG) {
  return pData.map((p, i) => (p + pG[i] > 0 ? p / (p + pG[i]) : 0.5));
}

/** Returns JSD(p || q) = KL(p || m) / 2 + KL(q || m) / 2, m = (p + q) / 2, in nats, from 0 to log 2 (theorem 1). */
function jensenShannon(p, q) {
  const term = (a, b) => (a > 0 ? 0.5 * a * Math.log((2 * a) / (a + b)) : 0);
  return p.reduce((sum, _, i) => sum + term(p[i], q[i]) + term(q[i], p[i]), 0);
}

/**
 * Returns what figure 1 of the paper draws, over equal bins, each Float64Array (bins): their centres, the densities
 * pData and pG, D(x) and D*(x) in [0, 1] at the centres; and the Jensen-Shannon divergence of the binned densities.
 */
function lineGanDensities(gan, bins, samples) {
  const edges = lineEdges(gan.options, bins);
  const width = edges[1] - edges[0];
  const centres = edges.slice(0, bins).map((edge) => edge + width / 2);
  const data = normalMasses(edges, gan.options.dataMean, gan.options.dataStd);
  const generated = generatedMasses(gan, edges, samples);
  return {
    centres,
    pData: data.map((mass) => mass / width),
    pG: generated.map((mass) => mass / width),
    discriminator: lineForward(gan.discriminator, centres).pop().map(sigmoid),
    optimalDiscriminator: optimalDiscriminator(data, generated),
    jensenShannon: jensenShannon(data, generated),
  };
}

const LINE_BINS = 200; // of the densities
const LINE_PIECES = 1000; // of z, which p_g is made of

/** Returns whether the rates have reached 0; a GAN whose rates stay never finishes. */
function lineFinished({ iteration, options }) {
  return options.iterations !== null && iteration >= options.iterations;
}

/**
 * Returns the message of where a training stands: {type: "state", iteration, seconds (of training), densities, losses
 * (of the last iteration or null), finished}. Throws an Error where the numbers are no longer finite.
 */
function lineState(gan, seconds, losses) {
  const densities = lineGanDensities(gan, LINE_BINS, LINE_PIECES);
  if (!Number.isFinite(densities.jensenShannon)) throw new Error("the training has left the finite numbers");
  return { type: "state", iteration: gan.iteration, seconds, densities, losses, finished: lineFinished(gan) };
}
