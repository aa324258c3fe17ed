// A slider for numbers with a fraction, and a number box beside it. Unlike the slider of ipywidgets it has a name that
// screen readers say, and sends back exactly the numbers that it was given.

function slider({ model, el, trait = "value" }) {
  const [name, low, high, step] = ["name", "low", "high", "step"].map((part) => model.get(part));
  const range = `min="${low}" max="${high}" step="${step}"`;
  el.classList.add("sd-slider");
  el.innerHTML = `<label><span>${name}</span> <input type="range" ${range}></label>
    <input type="number" ${range} aria-label="${name} value">`;
  const [bar, box] = el.querySelectorAll("input");
  bar.setAttribute("data-lm-suppress-shortcuts", "true"); // else JupyterLab takes its arrow keys,
  el.addEventListener("keydown", (event) => event.stopPropagation()); // and Enter, which ends the typing of a number

  let typing = false;
  function show() {
    bar.value = model.get(trait);
    if (!typing) box.value = model.get(trait);
  }
  function move({ target }) {
    typing = false;
    if (Number.isFinite(target.valueAsNumber)) {
      model.set(trait, Math.min(Math.max(target.valueAsNumber, low), high));
      model.save_changes(); // while Python is at work, the newest number waits and the ones before it are dropped
    }
    show();
  }
  bar.addEventListener("input", move);
  box.addEventListener("input", () => { typing = true; });
  box.addEventListener("change", move); // when the number is complete
  model.on(`change:${trait}`, show);
  show();
}

export default { render: slider };
