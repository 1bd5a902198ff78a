/** The key that was named on the command line; its passphrase is in the environment, so that no list of processes shows it. */
import { UsageError } from '../errors.ts';
import { contains } from '../publish/folder-target.ts';
import { openSigner, type Signer } from '../sign/keys.ts';

/** @throws UsageError for a key that lies in the package, which is given away; what reading the key throws */
export async function signerFor(key: string, folder: string): Promise<Signer> {
  if (contains(folder, key))
    throw new UsageError(
      `The private key ${key} lies in the package, with which it would be given away. Move it elsewhere.`,
    );
  const { LCM_MERGE_KEY_PASSPHRASE: passphrase } = process.env;
  return openSigner(key, { passphrase });
}
