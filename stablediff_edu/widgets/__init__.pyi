# The panels, and what belongs to them.

# 1 convolution and kernels
from .ch01_kernel_editor import KernelEditor as KernelEditor

# 2 U-Net, segmentation of fish
from .ch02_unet_inspector import UNetInspector as UNetInspector

# 3 diffusion: denoising one image
from .ch03_denoising import DenoisingPanel as DenoisingPanel
from .ch03_position_encoding import PositionPanel as PositionPanel

# 4 diffusion: generating ships
from .ch04_sampler import SamplerPanel as SamplerPanel

# 5 latent space, variational autoencoder
from .ch05_jpeg import JpegPanel as JpegPanel
from .ch05_jpeg import jpeg_roundtrip as jpeg_roundtrip
from .ch05_latent_map import LatentMap as LatentMap
from .ch05_latent_map import show_latent_map_html as show_latent_map_html
from .ch05_latent_sliders import LatentSliders as LatentSliders

# 6 word embeddings: word2vec
from .ch06_analogies import AnalogyPanel as AnalogyPanel
from .ch06_embedding_projector import EmbeddingProjector as EmbeddingProjector

# 7 attention, transformer, CLIP
from .ch07_attention import AttentionPanel as AttentionPanel
from .ch07_clip_search import ClipSearch as ClipSearch
from .ch07_qkv_matrices import QKVPanel as QKVPanel

# 8 Stable Diffusion
from .ch08_cross_attention import CrossAttentionPanel as CrossAttentionPanel
from .ch08_inpainting import InpaintingPanel as InpaintingPanel
from .ch08_sketch import SketchPanel as SketchPanel
from .ch08_text_to_image import TextToImagePanel as TextToImagePanel
from .ch08_training_replay import TrainingReplay as TrainingReplay
from .sketches import SKETCHES as SKETCHES
