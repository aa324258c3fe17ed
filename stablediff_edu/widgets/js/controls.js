// Labelled controls that work by mouse, finger and keyboard; images; the status line of a panel.

function labelled(el, model, field, ...more) { // a label and its field, which JupyterLab's shortcuts leave alone
  const label = Object.assign(document.createElement("label"), { textContent: model.get("name") });
  label.htmlFor = field.id = `sd-${Math.random().toString(36).slice(2)}`; // each widget loads this file: no counter
  el.append(label, field, ...more);
}

function slider({ model, el }) {
  const [bar, box] = ["range", "number"].map((type) => Object.assign(document.createElement("input"), { type }));
  labelled(el, model, bar, box);
  box.setAttribute("aria-label", `${model.get("name")} value`);
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
  follow(model, { "change:value change:low change:high change:disabled": show });
}

function select({ model, el }) {
  const field = document.createElement("select");
  labelled(el, model, field);
  const show = () => { field.selectedIndex = model.get("index"); };
  function fill() {
    field.replaceChildren(...model.get("labels").map((label) => new Option(label)));
    show();
  }
  field.addEventListener("change", () => send(model, { index: field.selectedIndex }));
  follow(model, { "change:labels": fill, "change:index": show });
}

function box({ model, el }, property, attributes) { // an input whose property is the value
  const field = Object.assign(document.createElement("input"), attributes);
  labelled(el, model, field);
  const show = () => { field[property] = model.get("value"); };
  field.addEventListener("change", () => {
    if (!Number.isNaN(field[property])) send(model, { value: field[property] });
    show();
  });
  follow(model, { "change:value": show });
  return field;
}

function text({ model, el }) {
  const field = box({ model, el }, "value", { type: "text", autocomplete: "off", spellcheck: false });
  const list = el.appendChild(document.createElement("datalist"));
  list.id = `${field.id}-list`;
  list.append(...model.get("suggestions").map((word) => new Option(word)));
  if (list.children.length) field.setAttribute("list", list.id);
}

function number({ model, el }) {
  const [min, max] = [model.get("low") ?? "", model.get("high") ?? ""];
  box({ model, el }, "valueAsNumber", { type: "number", step: model.get("step"), min, max });
}

const check = (view) => { box(view, "checked", { type: "checkbox" }); };

function button({ model, el }) {
  const field = el.appendChild(document.createElement("button"));
  field.type = "button";
  const show = () => { [field.textContent, field.title] = [model.get("name"), model.get("about")]; };
  field.addEventListener("click", () => send(model, { value: model.get("value") + 1 }));
  follow(model, { "change:name": show });
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
  follow(model, { "change:value": show });
}

function image({ model, el }) {
  const [figure, title, image] = ["figure", "figcaption", "img"].map((name) => document.createElement(name));
  figure.append(title, image);
  el.append(figure);
  el.classList.add(`sd-image-${model.get("name").replaceAll(/\W+/g, "-")}`);
  function tell() {
    [image.alt, title.textContent, el.hidden] = [model.get("alt"), model.get("title"), !model.get("shown")];
  }
  function show() {
    const old = image.src;
    [image.width, image.height] = [model.get("width"), model.get("height")];
    tell();
    image.classList.toggle("sd-pixels", model.get("pixels"));
    image.src = URL.createObjectURL(new Blob([model.get("value")], { type: "image/png" }));
    if (old) URL.revokeObjectURL(old);
  }
  follow(model, { "change:value": show, "change:alt change:title change:shown": tell });
}

function note({ model, el }) { // what a panel says; while it computes, a button to cancel
  el.innerHTML = `<span class="sd-note-text"></span>
    <span class="sd-note-busy"><progress aria-label="computing"></progress> computing … <button type="button">Cancel</button></span>`;
  const [text, cancel] = [el.querySelector(".sd-note-text"), el.querySelector("button")];
  const say = announcer(el);
  cancel.addEventListener("click", () => model.send("cancel"));
  function show() {
    text.innerHTML = model.get("value");
    for (const state of ["busy", "error"]) el.classList.toggle(`sd-${state}`, model.get("state") === state);
    el.setAttribute("aria-busy", model.get("state") === "busy");
    say(text.textContent);
  }
  follow(model, { "change:value change:state": show });
}

const KINDS = { slider, select, text, number, check, button, grid, image, note };

function renderControl({ model, el }) {
  el.classList.add("sd", `sd-${model.get("kind")}`);
  onKeys(el, takenByField);
  KINDS[model.get("kind")]({ model, el });
}

export default { render: renderControl };
