# The public names, by the chapter that first uses them. lazy_loader reads this file when the program runs.

from . import plotting as plotting
from . import widgets as widgets

__version__: str

# every chapter
from .config import seed_everything as seed_everything
from .config import setup_notebook as setup_notebook
from .errors import UserError as UserError
from .models.unet import count_parameters as count_parameters
from .notebook.checks import check_exercise as check_exercise
from .notebook.flashcards import show_flashcards as show_flashcards
from .notebook.progress import TrainingDisplay as TrainingDisplay
from .notebook.progress import live_images as live_images
from .notebook.progress import live_masks as live_masks
from .plotting.core import show_figure as show_figure

# 1 convolution and kernels
from .data.fish.synthetic import render_fish as render_fish
from .data.sample_image import sample_image as sample_image
from .layers.conv import KERNELS as KERNELS
from .layers.conv import conv2d as conv2d

# 2 U-Net, segmentation of fish
from .data.fish.dataset import describe_fish_data as describe_fish_data
from .data.fish.dataset import load_fish as load_fish
from .layers.conv import effective_receptive_field as effective_receptive_field
from .layers.conv import receptive_field_size as receptive_field_size
from .models.probing import channel_correlations as channel_correlations
from .models.probing import foreground_background_masks as foreground_background_masks
from .models.unet import UNet as UNet
from .tasks.fish import FISH_IOU_BY_NUM_IMAGES as FISH_IOU_BY_NUM_IMAGES
from .tasks.fish import FISH_PRESETS as FISH_PRESETS
from .tasks.fish import load_fish_unet as load_fish_unet
from .tasks.segmentation import evaluate_segmentation as evaluate_segmentation
from .tasks.segmentation import iou_dice as iou_dice
from .tasks.segmentation import predict as predict

# 3 diffusion: denoising one image
from .diffusion.optimal_denoiser import optimal_denoiser as optimal_denoiser
from .diffusion.samplers import sample as sample
from .diffusion.samplers import sample_final as sample_final
from .diffusion.schedule import NoiseSchedule as NoiseSchedule
from .layers.embeddings import sinusoidal_embedding as sinusoidal_embedding
from .metrics.images import mean_abs_gradient as mean_abs_gradient
from .metrics.images import psnr as psnr
from .models.probing import ablate_time_embedding as ablate_time_embedding
from .tasks.ddpm import ONE_FISH_PRESETS as ONE_FISH_PRESETS
from .training.losses import mse_by_timestep as mse_by_timestep

# 4 diffusion: generating ships
from .data.ships.dataset import describe_ships as describe_ships
from .data.ships.dataset import load_ships as load_ships
from .data.ships.dataset import load_test_ships as load_test_ships
from .tasks.ddpm import SHIPS_PRESETS as SHIPS_PRESETS
from .tasks.ddpm import load_diffusion as load_diffusion
from .metrics.images import nearest_neighbors as nearest_neighbors
from .tasks.ddpm_evaluation import sample_images as sample_images
from .training.benchmark import benchmark_train_step as benchmark_train_step

# 5 latent space, variational autoencoder
from .data.digits.dataset import describe_digits as describe_digits
from .data.digits.dataset import load_digits as load_digits
from .data.scenes.scene import canonical_caption as canonical_caption
from .data.scenes.scene import parse_scene as parse_scene
from .data.scenes.scene import render_scene as render_scene
from .data.scenes.scene import sample_scene as sample_scene
from .metrics.images import squared_error as squared_error
from .models.autoencoder import Autoencoder as Autoencoder
from .models.autoencoder import PCA as PCA
from .models.autoencoder_kl import AutoencoderKL as AutoencoderKL
from .models.unet_2d_condition import UNet2DConditionModel as UNet2DConditionModel
from .tasks.autoencoder import AUTOENCODER_PRESETS as AUTOENCODER_PRESETS
from .tasks.autoencoder import reconstruction_error as reconstruction_error
from .tasks.latent_diffusion import LATENT_PRESETS as LATENT_PRESETS
from .tasks.latent_diffusion import PIXEL_DIGITS as PIXEL_DIGITS
from .tasks.latent_diffusion import decode_digits as decode_digits
from .tasks.latent_diffusion import encode_digits as encode_digits
from .tasks.latent_diffusion_evaluation import classify_digits as classify_digits
from .tasks.latent_diffusion_evaluation import sample_digits as sample_digits
from .tasks.vae import load_vae as load_vae

# 6 word embeddings: word2vec
from .data.words.corpus import load_corpus as load_corpus
from .data.words.synthetic import ANALOGIES as ANALOGIES
from .metrics.word_vectors import WordVectors as WordVectors
from .metrics.word_vectors import analogy as analogy
from .metrics.word_vectors import count_analogies as count_analogies
from .metrics.word_vectors import from_pairs as from_pairs
from .metrics.word_vectors import nearest_words as nearest_words
from .metrics.word_vectors import score_table as score_table
from .models.word2vec import Word2Vec as Word2Vec
from .models.word2vec import sgd_step as sgd_step
from .tasks.word2vec import Word2VecTask as Word2VecTask
from .tasks.word2vec import load_word2vec as load_word2vec

# 7 attention, transformer, CLIP
from .data.scenes.dataset import make_scenes as make_scenes
from .data.sentences.negation import generate_sentences as generate_sentences
from .layers.attention import Attention as Attention
from .layers.attention import attention_weights as attention_weights
from .layers.attention import record_attention as record_attention
from .layers.transformer import BasicTransformerBlock as BasicTransformerBlock
from .models.clip import contrastive_loss as contrastive_loss
from .tasks.clip import CLIP_PRESETS as CLIP_PRESETS
from .tasks.clip import load_clip as load_clip
from .tasks.clip import tokenizer_of as tokenizer_of
from .tasks.clip_evaluation import evaluate_clip as evaluate_clip
from .tasks.clip_evaluation import similarities as similarities
from .tasks.sentiment import SentimentTrainConfig as SentimentTrainConfig
from .tasks.sentiment import accuracy as accuracy
from .tasks.sentiment import train_sentiment as train_sentiment

# 8 Stable Diffusion
from .diffusion.samplers import noise_levels as noise_levels
from .io.local_weights import find_local_weights as find_local_weights
from .pipelines.attention_maps import reweight_tokens as reweight_tokens
from .pipelines.attention_maps import sample_with_attention as sample_with_attention
from .pipelines.stable_diffusion import StableDiffusion as StableDiffusion
from .pipelines.stable_diffusion import V1 as V1
from .tasks.scene_classifier import load_scene_classifier as load_scene_classifier
from .tasks.scene_classifier import predict_attributes as predict_attributes
from .tasks.text_to_image_evaluation import evaluate_prompts as evaluate_prompts
from .tasks.text_to_image_evaluation import evaluation_prompts as evaluation_prompts
from .tasks.text_to_image_evaluation import sample_prompts as sample_prompts
from .tasks.tiny_sd import TINY_SD_PRESETS as TINY_SD_PRESETS
from .tasks.tiny_sd import cache_latents as cache_latents
from .tasks.tiny_sd import frozen_parts as frozen_parts
from .tasks.tiny_sd import load_tiny_sd as load_tiny_sd
