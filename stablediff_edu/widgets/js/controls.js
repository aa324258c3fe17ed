// Labelled controls that work by mouse, finger and keyboard; images; the status line of a panel.

const MOVES = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End", "PageUp", "PageDown"];
const PRESSES = ["Enter", " "];

function labelled(el, model, field, ...more) { // a label and its field, which JupyterLab's shortcuts leave alone
  const label = Object.assign(document.createElement("label"), { textContent: model.get("name") });
  label.htmlFor = field.id = `sd-${Math.random().toString(36).slice(2)}`; // each widget loads this file: no counter
  el.append(label, field, ...more);
}

function slider({ model, el }) {
  const [bar, box] = ["range", "number"].map((type) => Object.assign(document.createElement("input"), { type }));
  labelled(el, model, bar, box);
  box.setAttribute("aria-label", `${model.get("name")} value`);
  onKeys(bar, (event) => MOVES.includes(event.key));
  onKeys(box, () => true);
  let typing = false;
  function show() {
    for (const input of [bar, box]) {
      for (const [name, trait] of [["min", "low"], ["max", "high"], ["step", "step"]]) input[name] = model.get(trait);
      input.disabled = model.get("disabled");
    }
    bar.value = model.get("value");
    if (!typing) box.value = model.get("value");
  }
  function move({ target }) {
    typing = false;
    const [low, high, step] = ["low", "high", "step"].map((name) => model.get(name));
    if (Number.isFinite(target.valueAsNumber)) send(model, { value: gridOf(low, high, step).snap(target.valueAsNumber) });
    show();
  }
  bar.addEventListener(model.get("live") ? "input" : "change", move);
  bar.addEventListener("input", () => { box.value = bar.value; });
  box.addEventListener("input", () => { typing = true; });
  box.addEventListener("change", move); // when the number is complete
  show();
  return follow(model, { "change:value change:low change:high change:disabled": show });
}

function select({ model, el }) {
  const field = document.createElement("select");
  labelled(el, model, field);
  onKeys(field, (event) => MOVES.includes(event.key) || PRESSES.includes(event.key) || event.key.length === 1);
  const show = () => { field.selectedIndex = model.get("index"); };
  function fill() {
    field.replaceChildren(...model.get("labels").map((label) => new Option(label)));
    show();
  }
  field.addEventListener("change", () => send(model, { index: field.selectedIndex }));
  fill();
  return follow(model, { "change:labels": fill, "change:index": show });
}

function text({ model, el }) {
  const field = Object.assign(document.createElement("input"), { type: "text", autocomplete: "off", spellcheck: false });
  labelled(el, model, field);
  const list = el.appendChild(document.createElement("datalist"));
  list.id = `${field.id}-list`;
  list.append(...model.get("suggestions").map((word) => new Option(word)));
  if (list.children.length) field.setAttribute("list", list.id);
  onKeys(field, () => true);
  const show = () => { field.value = model.get("value"); };
  field.addEventListener("change", () => send(model, { value: field.value }));
  show();
  return follow(model, { "change:value": show });
}

function number({ model, el }) {
  const field = Object.assign(document.createElement("input"), { type: "number", step: "any" });
  for (const [name, trait] of [["min", "low"], ["max", "high"], ["step", "step"]]) field[name] = model.get(trait) ?? "";
  labelled(el, model, field);
  onKeys(field, () => true);
  const show = () => { field.value = model.get("value"); };
  field.addEventListener("change", () => {
    if (Number.isFinite(field.valueAsNumber)) send(model, { value: field.valueAsNumber });
    show();
  });
  show();
  return follow(model, { "change:value": show });
}

function check({ model, el }) {
  const field = Object.assign(document.createElement("input"), { type: "checkbox" });
  labelled(el, model, field);
  onKeys(field, (event) => event.key === " ");
  const show = () => { field.checked = model.get("value"); };
  field.addEventListener("change", () => send(model, { value: field.checked }));
  show();
  return follow(model, { "change:value": show });
}

function button({ model, el }) {
  const field = el.appendChild(document.createElement("button"));
  field.type = "button";
  onKeys(field, (event) => PRESSES.includes(event.key));
  const show = () => { [field.textContent, field.title] = [model.get("name"), model.get("about")]; };
  field.addEventListener("click", () => send(model, { value: model.get("value") + 1 }));
  show();
  return follow(model, { "change:name": show });
}

function grid({ model, el }) { // the values of a matrix, row by row
  let fields = [];
  const table = el.appendChild(document.createElement("div"));
  table.setAttribute("role", "group");
  function build() {
    const columns = model.get("columns");
    table.style.gridTemplateColumns = `repeat(${columns}, auto)`;
    fields = model.get("value").map((_, n) => {
      const field = Object.assign(document.createElement("input"), { type: "number", step: 1 });
      field.setAttribute("aria-label", `${model.get("name")} row ${Math.floor(n / columns) + 1} column ${(n % columns) + 1}`);
      field.addEventListener("input", () => {
        if (Number.isFinite(field.valueAsNumber)) send(model, { value: model.get("value").with(n, field.valueAsNumber) });
      });
      return field;
    });
    table.replaceChildren(...fields);
    show();
  }
  function show() {
    if (fields.length !== model.get("value").length) return build();
    model.get("value").forEach((value, n) => { if (fields[n].valueAsNumber !== value) fields[n].value = value; });
  }
  onKeys(el, () => true);
  build();
  return follow(model, { "change:value": show });
}

function picture({ model, el }) {
  const [figure, title, image] = ["figure", "figcaption", "img"].map((name) => document.createElement(name));
  figure.append(title, image);
  el.append(figure);
  el.classList.add(`sd-image-${model.get("name").replaceAll(/\W+/g, "-")}`);
  function show() {
    const old = image.src;
    [image.width, image.height] = [model.get("width"), model.get("height")];
    [image.alt, title.textContent, el.hidden] = [model.get("alt"), model.get("title"), !model.get("shown")];
    image.classList.toggle("sd-pixels", model.get("pixels"));
    image.src = URL.createObjectURL(new Blob([model.get("value")], { type: "image/png" }));
    if (old) URL.revokeObjectURL(old);
  }
  show();
  return follow(model, { "change:value": show, "change:alt change:title change:shown": () => {
    [image.alt, title.textContent, el.hidden] = [model.get("alt"), model.get("title"), !model.get("shown")];
  } });
}

function note({ model, el }) { // what a panel says; while it computes, a button to cancel
  el.innerHTML = `<span class="sd-note-text"></span>
    <span class="sd-note-busy"><progress aria-label="computing"></progress> computing … <button type="button">Cancel</button></span>`;
  const [text, cancel] = [el.querySelector(".sd-note-text"), el.querySelector("button")];
  const say = announcer(el);
  onKeys(cancel, (event) => PRESSES.includes(event.key));
  cancel.addEventListener("click", () => model.send("cancel"));
  function show() {
    text.innerHTML = model.get("value");
    for (const state of ["busy", "error"]) el.classList.toggle(`sd-${state}`, model.get("state") === state);
    el.setAttribute("aria-busy", model.get("state") === "busy");
    say(text.textContent);
  }
  show();
  return follow(model, { "change:value change:state": show });
}

const KINDS = { slider, select, text, number, check, button, grid, picture, note };

function renderControl({ model, el }) {
  el.classList.add("sd", `sd-${model.get("kind")}`);
  return KINDS[model.get("kind")]({ model, el });
}

export default { render: renderControl };
