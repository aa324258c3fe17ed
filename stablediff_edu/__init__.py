"""stablediff_edu: Stable Diffusion built from nothing.

``import stablediff_edu as sd`` is cheap: each name below is imported from its room when it is first used.
"""

import importlib

__version__ = "0.1.0"

# name -> the module (below stablediff_edu) where it lives
_ROOMS = {
    "CourseError": "errors",
    "MaskedPictures": "datasets.folder",
    "begin": "device",
    "pick_device": "device",
    "seed_everything": "device",
    "load_masked_folder": "datasets.folder",
    "load_fish": "datasets.fish",
    "fish_source": "datasets.fish",
    "import_torchvision": "vision",
    "show": "display.figures",
    "new_figure": "display.figures",
    "picture_row": "display.figures",
    "draw_picture": "display.figures",
    "draw_signed": "display.figures",
    "draw_magnitude": "display.figures",
    "draw_mask": "display.figures",
    "draw_numbers": "display.figures",
    "to_image": "display.figures",
    "five_levels": "display.levels",
    "Card": "display.cards",
    "show_cards": "display.cards",
    "check": "display.cards",
    "check_function": "display.cards",
    "kernel_editor": "display.panels.kernels",
    "KERNELS": "layers.convolution",
    "convolve": "layers.convolution",
    "receptive_field": "layers.convolution",
    "gradient_footprint": "layers.convolution",
    "footprint_size": "layers.convolution",
    "load_photo": "datasets.photo",
    "draw_fish": "datasets.drawn_fish",
    "UNet": "models.unet",
    "count_parameters": "models.unet",
    "fish_regions": "models.inspection",
    "channel_correlations": "models.inspection",
    "FISH_BUDGETS": "training.recipes",
    "FISH_BY_PICTURES": "training.recipes",
    "train_fish": "training.recipes",
    "load_fish_unet": "training.recipes",
    "predict": "training.segmentation",
    "examine": "training.segmentation",
    "score": "training.segmentation",
    "Pictures": "datasets.pictures",
    "load_pictures": "datasets.pictures",
    "load_cifar10": "datasets.cifar10",
    "load_ships": "datasets.ships",
    "ships_source": "datasets.ships",
    "draw_ships": "datasets.ships",
    "unseen_ships": "datasets.ships",
    "draw_scene": "datasets.scenes",
    "random_scene": "datasets.scenes",
    "caption": "datasets.scenes",
    "sinusoidal_encoding": "layers.position",
    "without_time": "models.inspection",
    "Schedule": "diffusion.schedule",
    "levels": "diffusion.samplers",
    "SAMPLERS": "diffusion.samplers",
    "sample": "diffusion.samplers",
    "generate": "diffusion.samplers",
    "ideal_denoiser": "diffusion.ideal",
    "ONE_FISH_BUDGETS": "training.diffusion_recipes",
    "train_diffusion": "training.diffusion_recipes",
    "load_diffusion": "training.diffusion_recipes",
    "SHIPS_BUDGETS": "training.diffusion_recipes",
    "draw": "training.sample_quality",
    "nearest": "training.sample_quality",
    "seconds_per_step": "training.cost",
    "cost_curve": "display.diffusion_figures",
    "errors_by_level": "training.denoising",
    "psnr": "training.denoising",
    "edge_strength": "training.denoising",
    "NoiseFilm": "display.noise_film",
    "noise_panel": "display.panels.noise",
    "position_panel": "display.panels.position",
    "sampler_panel": "display.panels.sampler",
    "noise_strip": "display.diffusion_figures",
    "schedule_curves": "display.diffusion_figures",
    "encoding_map": "display.diffusion_figures",
    "distances": "display.diffusion_figures",
    "lines": "display.diffusion_figures",
    "trajectory_rows": "display.diffusion_figures",
    "nearest_pairs": "display.diffusion_figures",
    "sheet": "display.diffusion_figures",
    "sheets": "display.diffusion_figures",
    "LiveTraining": "display.live",
    "live_masks": "display.live",
    "live_pictures": "display.live",
    "inside_unet": "display.panels.unet",
    "masked_pairs": "display.unet_figures",
    "compare": "display.unet_figures",
    "raw_and_clamped": "display.unet_figures",
    "fields_on_picture": "display.unet_figures",
    "channels_and_regions": "display.unet_figures",
    "score_curve": "display.unet_figures",
    "weighted_sum": "display.unet_figures",
    "bars": "display.unet_figures",
}
_MODULES = ("layers", "models", "diffusion", "datasets", "training", "weights", "display")


def __getattr__(name: str):
    if name in _ROOMS:
        return getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_ROOMS, *_MODULES])
