// The map in a page without Python: the decoder itself, and a stand-in for the state that a notebook shares with Python.
// ch05_latent_map.py puts this file behind latent_map.js.

function openPage(el, state, layers) {
  const decoder = layers.map((values) => values.map(unpack));
  const listeners = {};
  const model = {
    get: (name) => state[name],
    set(name, value) {
      if (state[name] === value) return;
      state[name] = value;
      for (const listener of listeners[`change:${name}`] ?? []) listener();
    },
    on: (event, listener) => (listeners[event] ??= []).push(listener),
    save_changes: () => model.set("pixels", decode(decoder, [state.x, state.y])),
  };
  model.save_changes();
  renderMap({ model, el: el.appendChild(document.createElement("div")) });
  for (const [axis, name] of ["x", "y"].entries()) {
    const [min, max, step] = ["low", "high", "step"].map((end) => state.map[end][axis]);
    const bar = make("input", { type: "range", min, max, step });
    el.appendChild(make("label", { textContent: AXES[axis] })).append(bar);
    bar.addEventListener("input", () => send(model, { [name]: bar.valueAsNumber }));
    follow(model, { [name]: () => { bar.value = state[name]; } });
  }
}

// The decoder: in each layer weights times values plus bias, then SiLU; at the end tanh.
function decode(layers, z) {
  layers.forEach(([weight, bias], depth) => {
    z = bias.map((sum, row) => {
      for (let n = 0; n < z.length; n++) sum += weight[row * z.length + n] * z[n];
      return depth === layers.length - 1 ? Math.tanh(sum) : sum / (1 + Math.exp(-sum));
    });
  });
  return new DataView(Uint8Array.from(z, (value) => ((value + 1) / 2) * 255).buffer);
}

function unpack(text) { // bfloat16 is the upper half of a float32
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Float32Array(Uint32Array.from(new Uint16Array(bytes.buffer), (half) => half << 16).buffer);
}
