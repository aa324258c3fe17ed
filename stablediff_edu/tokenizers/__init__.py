"""Text to tokens: CLIP's byte pairs, and the course's own words."""
