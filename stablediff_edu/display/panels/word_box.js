// A text box for prompts, with the words that may come next as buttons.

const MOST = 8; // words offered at once

function render({ model, el }) {
  const [name, words, follow] = ["name", "words", "follow"].map((part) => model.get(part));
  el.classList.add("sd-words");
  el.innerHTML = `<label><span>${name}</span>
      <input type="text" spellcheck="false" autocomplete="off" data-lm-suppress-shortcuts="true"></label>
    <div class="sd-below">
      <div class="sd-offers" role="group" aria-label="words that may come next in ${name}"></div>
      <div class="sd-words-note" role="status"></div>
    </div>`;
  const find = (kind) => el.querySelector(kind);
  const [box, offers, note] = [find("input"), find(".sd-offers"), find(".sd-words-note")];
  el.addEventListener("keydown", (event) => event.stopPropagation()); // else JupyterLab takes some of the keys

  // The words that may come next, and the text to which one of them is added.
  function offered(text) {
    const said = text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
    const begun = /[\p{L}\p{N}]$/u.test(text) && !words.includes(said.at(-1)) ? said.pop() : "";
    const often = follow[said.at(-1) ?? ""] ?? [];
    const place = (word) => (often.includes(word) ? often.indexOf(word) : often.length + words.indexOf(word));
    const possible = begun ? words.filter((word) => word.startsWith(begun)) : often;
    const kept = text.slice(0, text.length - begun.length).trimEnd();
    return [kept, [...possible].sort((a, b) => place(a) - place(b)).slice(0, MOST)];
  }

  function offer() {
    const [kept, possible] = offered(box.value);
    offers.replaceChildren(...possible.map((word) => {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: word });
      button.addEventListener("click", () => {
        box.value = `${kept} ${word} `.trimStart();
        box.focus();
        tell();
      });
      return button;
    }));
  }
  function tell() {
    model.set("value", box.value);
    model.save_changes(); // while Python draws, the newest text waits and the ones before it are dropped
    offer();
  }
  function show() {
    if (box.value != model.get("value") && document.activeElement != box) box.value = model.get("value");
    offer();
  }
  const say = () => { note.textContent = model.get("note"); };
  box.addEventListener("input", tell);
  model.on("change:value", show);
  model.on("change:note", say);
  box.value = model.get("value");
  offer();
  say();
  return () => {
    model.off("change:value", show);
    model.off("change:note", say);
  };
}

export default { render };
