// The map in a page without Python: the decoder itself, and a stand-in for the state that a notebook shares with Python.
// latent_page.py puts this file behind fine_slider.js and latent_pad.js, from which `slider` and `render` come.

function openPage(el, state, weights) {
  const layers = unpack(weights);
  const listeners = {};
  const model = {
    get: (name) => state[name],
    set(name, value) {
      if (state[name] === value) return;
      state[name] = value;
      for (const listener of listeners[`change:${name}`] ?? []) listener();
    },
    on: (event, listener) => (listeners[event] ??= []).push(listener),
    off: () => {},
    save_changes: () => model.set("pixels", decode(layers, [state.x, state.y])),
  };
  model.save_changes();
  render({ model, el: el.appendChild(document.createElement("div")) });
  for (const [axis, trait] of ["x", "y"].entries()) {
    const { low, high, step } = Object.fromEntries(Object.entries(state.map).map(([part, both]) => [part, both[axis]]));
    const range = { name: `number ${axis + 1}`, low, high, step };
    const own = { ...model, get: (name) => range[name] ?? model.get(name) };
    slider({ model: own, el: el.appendChild(document.createElement("div")), trait });
  }
}

// The decoder: in each layer numbers times weights plus bias, then SiLU; at the end tanh, between -1 and 1.
function decode(layers, z) {
  layers.forEach(({ weight, bias }, depth) => {
    const last = depth === layers.length - 1;
    z = bias.map((sum, row) => {
      for (let n = 0; n < z.length; n++) sum += weight[row * z.length + n] * z[n];
      return last ? Math.tanh(sum) : sum / (1 + Math.exp(-sum));
    });
  });
  return new DataView(Uint8Array.from(z, (value) => ((value + 1) / 2) * 255).buffer);
}

function unpack({ sizes, numbers }) {
  const bytes = Uint8Array.from(atob(numbers), (letter) => letter.charCodeAt(0));
  const floats = Float32Array.from(new Uint16Array(bytes.buffer), (half) => {
    const [power, fraction] = [(half >> 10) & 31, half & 1023]; // 16 bits: sign, 5 of the power of two, 10 of the rest
    return (half >> 15 ? -1 : 1) * (power ? 2 ** (power - 15) * (1 + fraction / 1024) : fraction * 2 ** -24);
  });
  let read = 0;
  const take = (count) => floats.subarray(read, (read += count));
  return sizes.map(([from, to]) => ({ weight: take(from * to), bias: take(to) }));
}
