// The map in a page without Python: the decoder itself, and a stand-in for the state that a notebook shares with Python.
// ch05_latent_page.py puts this file behind controls.js and latent_map.js.

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
    save_changes: () => model.set("pixels", decode(layers, [state.x, state.y])),
  };
  model.save_changes();
  renderMap({ model, el: el.appendChild(document.createElement("div")) });
  for (const [axis, trait] of ["x", "y"].entries()) {
    const { low, high, step } = Object.fromEntries(Object.entries(state.map).map(([part, both]) => [part, both[axis]]));
    const own = { kind: "slider", name: AXES[axis], low, high, step, live: true, disabled: false };
    const at = (name) => (name === "value" ? trait : name);
    renderControl({ el: el.appendChild(document.createElement("div")), model: {
      ...model,
      get: (name) => own[name] ?? model.get(at(name)),
      set: (name, value) => model.set(at(name), value),
      on: (event, listener) => model.on(event === "change:value" ? `change:${trait}` : event, listener),
    } });
  }
}

// The decoder: in each layer weights times values plus bias, then SiLU; at the end tanh.
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

function unpack({ sizes, values }) {
  const bytes = Uint8Array.from(atob(values), (letter) => letter.charCodeAt(0));
  const floats = Float32Array.from(new Uint16Array(bytes.buffer), (half) => {
    const [power, fraction] = [(half >> 10) & 31, half & 1023]; // 16 bits: sign, 5 of the power of two, 10 of the rest
    return (half >> 15 ? -1 : 1) * (power ? 2 ** (power - 15) * (1 + fraction / 1024) : fraction * 2 ** -24);
  });
  let read = 0;
  const take = (count) => floats.subarray(read, (read += count));
  return sizes.map(([from, to]) => ({ weight: take(from * to), bias: take(to) }));
}
