"""The claims that each notebook must show: a cell tagged ``claim-1.1``, with an output, shows claim 1.1."""

CLAIMS = {
    "01_convolution_kernels": {
        "1.1": "fully connected: every neuron to every neuron",
        "1.2": "100×100 in and out are 100,000,000 connections",
        "1.3": "fully connected layers ignore where a pixel is",
        "1.4": "near pixels matter more than far ones",
        "1.5": "an output pixel is its surroundings times the kernel, added up",
        "1.6": "a vertical and a horizontal edge kernel",
        "1.7": "5×5 = 25 numbers, used over and over",
        "1.8": "five levels of vision, from classification to instances",
        "1.9": "with many channels a kernel is a 3-D grid",
        "1.10": "a kernel of equal numbers only blurs",
    },
    "02_unet_fish_segmentation": {
        "2.1": "500 fish photographs with masks as ground truth",
        "2.2": "before training meaningless, after some the shape",
        "2.3": "the raw output leaves 0..1; clamped it is the mask",
        "2.4": "500 images are enough",
        "2.5": "an RGB picture is a 3-D tensor",
        "2.6": "64→128 channels: 128 kernels, each 64 deep",
        "2.7": "channels 3→64→128→256→512→1024",
        "2.8": "larger kernels cost parameters quickly",
        "2.9": "a smaller image gives a larger field of view",
        "2.10": "in the middle, channels show body, background, bright and dark parts",
        "2.11": "it knows what, but has lost where",
        "2.12": "skip connections put the detail back",
        "2.13": "first full-resolution features against the last",
        "2.14": "one last convolution gives the clean mask",
        "2.15": "it won a biomedical challenge in 2015",
    },
}
