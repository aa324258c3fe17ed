// A text box for prompts, with the words that may come next as buttons.

const MAX_OFFERED = 8;

function renderPrompt({ model, el }) {
  const [name, words, followers] = ["name", "words", "next_words"].map((trait) => model.get(trait));
  el.classList.add("sd", "sd-prompt");
  el.innerHTML = `<label><span></span> <input type="text" spellcheck="false" autocomplete="off"></label>
    <div class="sd-offers" role="group"></div><div class="sd-prompt-note"></div>`;
  const [title, box, offers, note] = ["span", "input", ".sd-offers", ".sd-prompt-note"].map((one) => el.querySelector(one));
  title.textContent = name;
  offers.setAttribute("aria-label", `words that may come next in ${name}`);
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
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: word });
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
    if (box.value !== model.get("value") && box.getRootNode().activeElement !== box) box.value = model.get("value");
    offer();
  }
  function showNote() {
    note.textContent = model.get("note");
    say(note.textContent);
  }
  box.addEventListener("input", type);
  follow(model, { "change:value": show, "change:note": showNote });
}

export default { render: renderPrompt };
