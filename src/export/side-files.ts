/** What lies beside the graphs and weights of a package and follows from the plan alone: configs and tokenizer. */
import { readFile } from 'node:fs/promises';
import { parseJsonText } from '../architecture/config-file.ts';
import { schedulerConfigJson } from '../architecture/sampler-config.ts';
import { readTokenizerFiles } from '../architecture/tokenizer-files.ts';
import type { Plan } from '../merge/plan.ts';
import { modelIndexJson, unetConfigJson, withWeightFiles } from './configs.ts';
import { WEIGHTS_FILES } from './diffusers-weights.ts';
import type { ComponentLayout } from './layouts.ts';

/** Contents by their path in the package; `components` are the plan's. @throws what reading the base's configs throws */
export async function sideFiles(
  plan: Plan,
  components: readonly Pick<ComponentLayout, 'folder' | 'layout' | 'config'>[],
): Promise<ReadonlyMap<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  const put = (file: string, content: string | object) =>
    files.set(file, Buffer.from(typeof content === 'string' ? content : `${JSON.stringify(content, null, 2)}\n`));
  for (const { folder, layout, config } of components) {
    const made = config(plan);
    const values = typeof made === 'string' ? (parseJsonText(await readFile(made), made) as object) : made;
    put(`${folder}/config.json`, withWeightFiles(values, layout.files.length));
  }
  for (const { component, config } of plan.recipe.output.weights ? WEIGHTS_FILES : []) {
    if (component === 'unet') put(config, unetConfigJson(plan));
    else files.set(config, await readFile(plan.configs[component]));
  }
  for (const [name, data] of await readTokenizerFiles(plan.configs.tokenizer, plan.text_encoder))
    files.set(`tokenizer/${name}`, data);
  put('scheduler/scheduler_config.json', schedulerConfigJson(plan.sampler));
  put('model_index.json', modelIndexJson(plan));
  return files;
}
