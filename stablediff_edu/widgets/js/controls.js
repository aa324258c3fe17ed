// Labelled controls that work by mouse, finger and keyboard; images; the status line of a panel.

function labelled(el, model, field, ...more) {
  const label = make("label", { textContent: model.get("name") });
  label.htmlFor = field.id = `sd-${Math.random().toString(36).slice(2)}`; // each widget loads this file: no counter
  el.append(label, field, ...more);
}

function slider({ model, el }) {
  const [bar, box] = ["range", "number"].map((type) => make("input", { type }));
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
    const { snap } = gridOf(...["low", "high", "step"].map((name) => model.get(name)));
    if (Number.isFinite(target.valueAsNumber)) send(model, { value: snap(target.valueAsNumber) });
    show();
  }
  bar.addEventListener(model.get("live") ? "input" : "change", move);
  bar.addEventListener("input", () => { box.value = bar.value; });
  box.addEventListener("input", () => { typing = true; });
  box.addEventListener("change", move); // when the number is complete
  follow(model, { "value low high disabled": show });
}

function box({ model, el }, property, field) { // a field whose property is the value
  labelled(el, model, field);
  const show = () => { field[property] = model.get("value"); };
  field.addEventListener("change", () => {
    if (!Number.isNaN(field[property])) send(model, { value: field[property] });
    show();
  });
  follow(model, { value: show });
}

function select(view) {
  const field = make("select");
  follow(view.model, { labels: () => field.replaceChildren(...view.model.get("labels").map((one) => new Option(one))) });
  box(view, "value", field);
  view.model.on("change:labels", () => { field.value = view.model.get("value"); });
}

function text(view) {
  const field = make("input", { type: "text", autocomplete: "off", spellcheck: false });
  box(view, "value", field);
  const list = view.el.appendChild(make("datalist", { id: `${field.id}-list` }));
  list.append(...view.model.get("suggestions").map((word) => new Option(word)));
  if (list.children.length) field.setAttribute("list", list.id);
}

function number(view) {
  const [min, max, step] = ["low", "high", "step"].map((name) => view.model.get(name));
  box(view, "valueAsNumber", make("input", { type: "number", min, max, step }));
}

const check = (view) => box(view, "checked", make("input", { type: "checkbox" }));

function button({ model, el }) {
  const field = el.appendChild(make("button", { type: "button", textContent: model.get("name"), title: model.get("about") }));
  field.addEventListener("click", () => send(model, { value: model.get("value") + 1 }));
}

function grid({ model, el }) { // the values of a matrix, row by row
  const table = el.appendChild(make("div", { role: "group" }));
  let fields = [];
  function build() {
    const columns = model.get("columns");
    table.style.gridTemplateColumns = `repeat(${columns}, auto)`;
    fields = model.get("value").map((_, n) => {
      const field = make("input", { type: "number", step: 1 });
      field.ariaLabel = `${model.get("name")} row ${Math.floor(n / columns) + 1} column ${(n % columns) + 1}`;
      field.addEventListener("input", () => {
        if (Number.isFinite(field.valueAsNumber)) send(model, { value: model.get("value").with(n, field.valueAsNumber) });
      });
      return field;
    });
    table.replaceChildren(...fields);
  }
  function show() {
    if (fields.length !== model.get("value").length) build();
    model.get("value").forEach((value, n) => { if (fields[n].valueAsNumber !== value) fields[n].value = value; });
  }
  follow(model, { value: show });
}

function diagram({ model, el }) { // the pointer or Tab shows a part; a click, a tap or Enter keeps it, until the next one
  el.innerHTML = model.get("svg");
  const parts = [...el.querySelectorAll("g[id]")].filter(({ id }) => id in model.get("parts"));
  let kept = "";
  for (const part of parts) {
    Object.assign(part, { role: "button", tabIndex: 0, ariaLabel: model.get("parts")[part.id] });
    const show = () => { if (!kept) send(model, { value: part.id }); };
    for (const event of ["pointerenter", "focus"]) part.addEventListener(event, show);
    function keep() {
      kept = kept === part.id ? "" : part.id;
      send(model, { value: part.id });
      mark();
    }
    part.addEventListener("click", keep);
    onKeys(part, ({ key }) => key === "Enter" || key === " ", keep);
  }
  function mark() {
    for (const part of parts) {
      part.classList.toggle("sd-shown", part.id === model.get("value"));
      part.ariaPressed = part.id === kept;
    }
  }
  follow(model, { value: mark });
}

function image({ model, el }) {
  const [figure, title, picture] = ["figure", "figcaption", "img"].map((tag) => make(tag));
  figure.append(title, picture);
  el.append(figure);
  function tell() {
    [picture.alt, title.textContent] = [model.get("alt"), model.get("title")];
  }
  function show() {
    const old = picture.src;
    el.hidden = !model.get("value").byteLength;
    [picture.width, picture.height] = [model.get("width"), model.get("height")];
    picture.classList.toggle("sd-pixels", model.get("pixels"));
    picture.src = URL.createObjectURL(new Blob([model.get("value")], { type: "image/png" }));
    if (old) URL.revokeObjectURL(old);
  }
  follow(model, { "alt title": tell, value: show });
}

function note({ model, el }) { // what a panel says; while it computes, a button to cancel
  el.innerHTML = `<span class="sd-note-text"></span>
    <span class="sd-note-busy"><progress aria-label="computing"></progress> computing … <button type="button">Cancel</button></span>`;
  const say = announcer(el);
  el.querySelector("button").addEventListener("click", () => model.send("cancel"));
  function show() {
    const text = el.querySelector(".sd-note-text");
    text.innerHTML = model.get("value");
    for (const state of ["busy", "error"]) el.classList.toggle(`sd-${state}`, model.get("state") === state);
    el.ariaBusy = model.get("state") === "busy";
    say(text.textContent);
  }
  follow(model, { "value state": show });
}

const KINDS = { slider, select, text, number, check, button, grid, diagram, image, note };

function renderControl({ model, el }) {
  el.classList.add("sd", `sd-${model.get("kind")}`);
  onKeys(el, takenByField);
  KINDS[model.get("kind")]({ model, el });
}

export default { render: renderControl };
