/** Pixels per latent along each side: 2 per doubling of SD1.5's VAE. */
export const VAE_SCALE = 8;
