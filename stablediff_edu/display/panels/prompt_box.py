"""The panel of chapter 8: type a sentence, and the network draws it, while one types."""

import html

import ipywidgets as widgets

from stablediff_edu.diffusion.samplers import SAMPLERS
from stablediff_edu.display.panels import parts
from stablediff_edu.display.panels.drawing import (
    Drawing,
    button,
    draw_visibly,
    live_box,
    place_for,
    seed_box,
    show_picture,
    side_by_side,
)
from stablediff_edu.display.panels.fine_slider import FineSlider, NumberRange
from stablediff_edu.display.panels.word_box import WordBox
from stablediff_edu.errors import CourseError
from stablediff_edu.stable_diffusion import StableDiffusion

GUIDANCE = NumberRange(0, 15, 0.5)
MOST_STEPS = 50


def prompt_box(
    pipe: StableDiffusion,
    prompt: str = "a red sailboat on a calm sea",
    negative: str = "",
    *,
    steps: int = 20,
    guidance: float = 4.0,
    seed: int = 0,
    sampler: str = "dpm++",
) -> widgets.VBox:
    """Return the panel.

    `.controls`: prompt, negative, steps and steps number, guidance, seed, sampler, again (the next seed), keep (as
    picture A, to compare with), step and step number (which step is shown), live and draw.
    `.images`: picture, and kept, the picture A; `.titles`: what was wished for each.
    `.note`: a line of text on how it was made, or what does not go.
    `.drawings`: picture and, once it is there, kept -> `Drawing`.

    It draws at every change. While it draws, the browser holds back what is typed: the newest text waits, the ones
    before it are dropped. A picture larger than 128×128 is drawn only when the button is pressed.

    Args:
        pipe: text encoder, U-Net, autoencoder, and a tokenizer.
        prompt, negative, steps, guidance, seed, sampler: as for `StableDiffusion.draw`, to begin with.
    """
    return _PromptBox(pipe, prompt, negative, steps, guidance, seed, sampler).panel


class _PromptBox:
    def __init__(self, pipe, prompt, negative, steps, guidance, seed, sampler) -> None:
        self.pipe, self.moving = pipe, False
        self.prompt = WordBox("prompt", pipe.tokenizer, prompt)
        self.negative = WordBox("without", pipe.tokenizer, negative)
        self.steps, self.steps_number = parts.slider_and_number("steps", 1, MOST_STEPS, steps, width=300)
        self.guidance = FineSlider("guidance", GUIDANCE, guidance, 400)
        self.seed = seed_box(seed)
        self.sampler = widgets.Dropdown(
            options=list(SAMPLERS), value=sampler, description="sampler", layout={"width": "220px"}
        )
        self.again = button("again", "the same with the next seed")
        self.keep = button("keep as A", "compare what comes next with this picture")
        self.live = live_box(pipe)
        self.now = button("draw", "draw it now", primary=True)
        self.step, self.step_number = parts.slider_and_number("step", 1, steps, steps, width=300)
        self.picture, self.kept = place_for(pipe, "picture"), place_for(pipe, "kept")
        self.titles = {name: widgets.HTML() for name in ("picture", "kept")}
        self.titles["picture"].add_class("sd-picture-title")
        self.note = widgets.HTML()
        self.note.add_class("sd-prompt-note")
        self.panel = self._lay_out()
        self._draw()
        for control, trait in ((self.prompt, "text"), (self.negative, "text")):
            control.observe(self._change, trait)
        for control in (self.steps, self.guidance, self.seed, self.sampler, self.live):
            control.observe(self._change, "value")
        self.step.observe(self._scrub, "value")
        self.again.on_click(self._next_seed)
        self.keep.on_click(self._keep)
        self.now.on_click(self._draw)

    def _lay_out(self) -> widgets.VBox:
        columns = {
            name: widgets.VBox([self.titles[name], image], layout={"width": f"{int(image.width) + 24}px"})
            for name, image in (("kept", self.kept), ("picture", self.picture))
        }
        self.beside = columns["kept"]
        self.beside.layout.display = "none"  # until there is something to compare with
        panel = widgets.VBox(
            [
                self.prompt,
                self.negative,
                parts.in_line(self.guidance, self.steps, self.steps_number),
                parts.in_line(self.seed, self.again, self.sampler, self.keep, self.live, self.now),
                side_by_side(*columns.values()),
                parts.in_line(self.step, self.step_number),
                self.note,
            ]
        )
        panel.controls = {"prompt": self.prompt, "negative": self.negative, "guidance": self.guidance}
        panel.controls |= {"steps": self.steps, "steps number": self.steps_number, "seed": self.seed}
        panel.controls |= {"sampler": self.sampler, "again": self.again, "keep": self.keep, "live": self.live}
        panel.controls |= {"draw": self.now, "step": self.step, "step number": self.step_number}
        panel.images = {"picture": self.picture, "kept": self.kept}
        panel.titles, panel.note, panel.drawings = self.titles, self.note, {}
        return panel

    # -- what a change does ------------------------------------------------------------------------------------------

    def _change(self, _change: object = None) -> None:
        if self.live.value:
            self._draw()
        else:
            self.note.value = "The picture is still the last one; press draw."

    def _next_seed(self, _button: object) -> None:
        self.seed.value = (self.seed.value + 1) % (self.seed.max + 1)
        if not self.live.value:
            self._draw()

    def _draw(self, _button: object = None) -> None:
        try:
            self.panel.drawings["picture"] = self._drawn()
        except CourseError as error:
            self.note.value = f"<b>{html.escape(str(error))}</b> The picture is still the last one."
            return
        self.moving = True  # the slider must not draw on its way
        parts.move_end(self.step, self.step_number, len(self.panel.drawings["picture"].steps))
        self.moving = False
        self._scrub()

    def _drawn(self) -> Drawing:
        wishes = dict(prompt=self.prompt.text, negative=self.negative.text, guidance=self.guidance.value)
        wishes |= dict(steps=self.steps.value, seed=self.seed.value, sampler=self.sampler.value)
        return draw_visibly(self.pipe, self.picture, **wishes)

    def _scrub(self, _change: object = None) -> None:
        """Show the chosen step of the picture, and of picture A the one that is as far on its way."""
        if self.moving:
            return
        drawing, number = self.panel.drawings["picture"], self.step.value
        share = number / len(drawing.steps)
        show_picture(self.picture, drawing.picture(number))
        self.titles["picture"].value = self._title("B: " if "kept" in self.panel.drawings else "", drawing)
        if kept := self.panel.drawings.get("kept"):
            show_picture(self.kept, kept.picture(max(1, round(share * len(kept.steps)))))
        step = drawing.steps[number - 1]
        place = "the result" if number == step.of else f"what it sees after step {number} of {step.of}"
        self.note.value = f"{place} · drawn in {drawing.seconds:.2f} s"

    def _keep(self, _button: object) -> None:
        kept = self.panel.drawings["kept"] = self.panel.drawings["picture"]
        self.titles["kept"].value = self._title("A: ", kept)
        self.beside.layout.display = ""
        self._scrub()

    @staticmethod
    def _title(letter: str, drawing: Drawing) -> str:
        return f'<div style="line-height: 1.3"><b>{letter}</b>{html.escape(drawing.told())}</div>'
