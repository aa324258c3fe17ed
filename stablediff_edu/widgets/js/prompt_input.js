// A text box for prompts, with the words that may come next as buttons.

const MAX_OFFERED = 8;

function renderPrompt({ model, el }) {
  const [words, followers] = [model.get("words"), model.get("next_words")];
  const box = make("input", { type: "text", autocomplete: "off", spellcheck: false });
  const label = make("label", { textContent: model.get("name") });
  const offers = make("div", { className: "sd-offers", role: "group", ariaLabel: `words that may come next in ${model.get("name")}` });
  const note = make("div", { className: "sd-prompt-note" });
  el.classList.add("sd", "sd-prompt");
  label.append(box);
  el.append(label, offers, note);
  const say = announcer(el);
  onKeys(el, takenByField);

  // The words that may come next, and the text to which one of them is added.
  function offered(text) {
    const typed = text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
    const begun = /[\p{L}\p{N}]$/u.test(text) && !words.includes(typed.at(-1)) ? typed.pop() : "";
    const often = followers[typed.at(-1) ?? ""] ?? [];
    const rank = (word) => (often.includes(word) ? often.indexOf(word) : often.length + words.indexOf(word));
    const possible = begun ? words.filter((word) => word.startsWith(begun)) : often;
    const kept = text.slice(0, text.length - begun.length).trimEnd();
    return [kept, [...possible].sort((a, b) => rank(a) - rank(b)).slice(0, MAX_OFFERED)];
  }

  function offer() {
    const [kept, possible] = offered(box.value);
    offers.replaceChildren(...possible.map((word) => {
      const button = make("button", { type: "button", textContent: word });
      button.addEventListener("click", () => {
        box.value = `${kept} ${word} `.trimStart();
        box.focus();
        type();
      });
      return button;
    }));
  }
  function type() {
    send(model, { value: box.value });
    offer();
  }
  function show() {
    if (box.getRootNode().activeElement !== box) box.value = model.get("value");
    offer();
  }
  function showNote() {
    note.textContent = model.get("note");
    say(note.textContent);
  }
  box.addEventListener("input", type);
  follow(model, { value: show, note: showNote });
}

export default { render: renderPrompt };
