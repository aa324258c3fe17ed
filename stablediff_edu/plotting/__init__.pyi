# The figures that notebooks make.

# every chapter
from .core import plot_image as plot_image
from .core import subplots as subplots
from .curves import cost_extrapolation as cost_extrapolation
from .curves import grouped_bars as grouped_bars
from .curves import plot_curves as plot_curves
from .grids import contact_sheet_figure as contact_sheet_figure
from .grids import contact_sheets as contact_sheets
from .grids import image_grid as image_grid
from .grids import image_row as image_row
from .heatmaps import plot_heatmaps as plot_heatmaps

# 1 convolution and kernels
from .ch02_segmentation import plot_vision_tasks as plot_vision_tasks
from .diagrams import diagram_convolution as diagram_convolution

# 2 U-Net, segmentation of fish
from .ch02_segmentation import compare_outputs as compare_outputs
from .ch02_segmentation import last_layer_sum as last_layer_sum
from .ch02_segmentation import logits_and_mask as logits_and_mask
from .ch02_segmentation import plot_channel_correlations as plot_channel_correlations
from .ch02_segmentation import plot_receptive_fields as plot_receptive_fields
from .diagrams import diagram_unet as diagram_unet

# 3 diffusion: denoising one image
from .ch03_diffusion import DenoisingSnapshots as DenoisingSnapshots
from .ch03_diffusion import forward_process_strip as forward_process_strip
from .ch03_diffusion import position_encoding_heatmap as position_encoding_heatmap
from .ch03_diffusion import schedule_curves as schedule_curves
from .diagrams import diagram_denoising_loop as diagram_denoising_loop

# 5 latent space, variational autoencoder
from .ch05_latents import latent_channels as latent_channels
from .ch05_latents import latent_scatter as latent_scatter
from .ch05_latents import latent_space_overview as latent_space_overview
from .diagrams import diagram_autoencoder as diagram_autoencoder
from .diagrams import diagram_latent_diffusion as diagram_latent_diffusion

# 6 word embeddings: word2vec
from .ch06_words import embedding_scatter as embedding_scatter
from .ch06_words import live_bars as live_bars
from .ch06_words import projected_neighbors as projected_neighbors
from .ch06_words import quantile_band as quantile_band
from .ch06_words import relation_arrows as relation_arrows
from .ch06_words import similarity_ranking as similarity_ranking
from .diagrams_text import diagram_skip_gram as diagram_skip_gram

# 7 attention, transformer, CLIP
from .ch07_attention import attention_heatmaps as attention_heatmaps
from .ch07_attention import convolution_as_matrix as convolution_as_matrix
from .ch07_attention import live_similarities as live_similarities
from .ch07_attention import plot_vectors as plot_vectors
from .ch07_attention import setup_vector_axes as setup_vector_axes
from .ch07_attention import similarity_heatmap as similarity_heatmap
from .ch07_attention import token_attention_maps as token_attention_maps
from .ch07_attention import top_captions as top_captions
from .diagrams_pipeline import diagram_text_unet as diagram_text_unet
from .diagrams_text import diagram_attention as diagram_attention
from .diagrams_text import diagram_clip as diagram_clip
from .diagrams_text import diagram_transformer_block as diagram_transformer_block

# 8 Stable Diffusion
from .ch08_text_to_image import cross_attention_over_steps as cross_attention_over_steps
from .ch08_text_to_image import prompt_grid as prompt_grid
from .ch08_text_to_image import sampling_steps_figure as sampling_steps_figure
from .diagrams_pipeline import diagram_pipeline as diagram_pipeline
