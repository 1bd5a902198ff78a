/**
 * Stock SD1.5 as a diffusers folder without weights, which ships with the tool: the configs and the tokenizer of a single file
 * that names no others. Source: the config files of stable-diffusion-v1-5; reference: formats.md §1a.
 */
import { fileURLToPath } from 'node:url';

/** The same place as seen from src/ and from dist/. */
export const STOCK_FOLDER = fileURLToPath(new URL('../../assets/sd15', import.meta.url));
