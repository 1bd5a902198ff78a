/** Limits that files of every format are held to, because what reads them was made for files that somebody wants to be read. */

/**
 * Characters of a tensor's name: the longest in the SD1.5 family has 130. Names are matched against patterns, some of which take the
 * square of the length; values that a pickle repeats would repeat longer ones.
 */
export const MAX_NAME = 512;
