/**
 * Completion scripts for bash, zsh and fish: static text made from the command table. The verb of a line is its first word that is
 * one; without any, the line is a `make`.
 */
import { type CommandSpec, type OptionSpec, SPECS, VERBS, type Verb } from './command-table.ts';

export type Shell = 'bash' | 'zsh' | 'fish';

export const COMPLETIONS: Readonly<Record<Shell, () => string>> = { bash, zsh, fish };

const entries = (verb: Verb): readonly (readonly [string, OptionSpec])[] => Object.entries(SPECS[verb].options);
const firstOperand = ({ operands }: CommandSpec) => Object.entries(operands)[0];

/** `'` ends a quoted word in every shell; this writes one that does not. */
const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

/** The ways to write an option: `--json` and `--json=stream`, `--out`, `-o`. */
function spellings(name: string, { short, bare, choices = [] }: OptionSpec): string[] {
  const attached =
    bare === undefined ? [] : choices.filter((choice) => choice !== bare).map((choice) => `--${name}=${choice}`);
  return [...(short ? [`-${short}`] : []), `--${name}`, ...attached];
}

// ---------------------------------------------------------------------------------------------------- bash

function bash(): string {
  const values = VERBS.flatMap((verb) =>
    entries(verb)
      .filter(([, { type, bare }]) => type !== 'boolean' && bare === undefined)
      .map(([name, option]) => {
        const patterns = spellings(name, option).map((spelling) => `${verb}:${spelling}`);
        return `    ${patterns.join('|')}) ${bashWords(option)}; return ;;`;
      }),
  );
  const options = VERBS.map((verb) => {
    const words = entries(verb).flatMap(([name, option]) => spellings(name, option));
    return `    ${verb}:-*) COMPREPLY=($(compgen -W ${quoted(words.join(' '))} -- "$cur")) ;;`;
  });
  const operands = VERBS.map((verb) => {
    const [, operand] = firstOperand(SPECS[verb]) ?? [];
    const verbs = verb === 'make' ? ` COMPREPLY+=($(compgen -W ${quoted(VERBS.join(' '))} -- "$cur"))` : '';
    return `    ${verb}:*) ${bashWords(operand ?? {})};${verbs} ;;`;
  });
  return `# bash completion for lcm-merge: source <(lcm-merge completion bash)
_lcm_merge() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} verb=make word
  COMPREPLY=()
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in ${VERBS.join('|')}) verb=$word; break ;; esac
  done
  case $verb:$prev in
${values.join('\n')}
  esac
  case $verb:$cur in
${[...options, ...operands].join('\n')}
  esac
}
complete -o filenames -F _lcm_merge lcm-merge
`;
}

function bashWords({ choices, completes }: Pick<OptionSpec, 'choices' | 'completes'>): string {
  const generator = choices ? `-W ${quoted(choices.join(' '))}` : completes && `-${completes === 'file' ? 'f' : 'd'}`;
  return generator === undefined ? ':' : `COMPREPLY=($(compgen ${generator} -- "$cur"))`;
}

// ---------------------------------------------------------------------------------------------------- zsh

function zsh(): string {
  const verbs = VERBS.map((verb) => `    ${quoted(`${verb}:${SPECS[verb].summary.replaceAll(':', '\\:')}`)}`);
  const cases = VERBS.map((verb) => {
    const options = entries(verb).map(([name, option]) => `        ${zshOption(name, option)}`);
    const [name, operand] = firstOperand(SPECS[verb]) ?? [];
    const own = operand ? [`        ${quoted(`${operand.many ? '*' : '2'}:${name}:${zshAction(operand)}`)}`] : [];
    const positions =
      verb === 'make'
        ? [`        '1:recipe or verb:_lcm_merge_first'`, ...own]
        : [`        '1:verb:_lcm_merge_first'`, ...own];
    return `    (${verb})\n      _arguments -s \\\n${[...options, ...positions].join(' \\\n')} ;;`;
  });
  return `#compdef lcm-merge
# zsh completion for lcm-merge: source <(lcm-merge completion zsh), or save it as _lcm-merge in a folder of $fpath
_lcm_merge_first() {
  local -a verbs=(
${verbs.join('\n')}
  )
  _describe -t verbs verb verbs
  _files
}
_lcm_merge() {
  local verb=make word
  for word in \${words[2,CURRENT-1]}; do
    case $word in (${VERBS.join('|')}) verb=$word; break ;; esac
  done
  case $verb in
${cases.join('\n')}
  esac
}
if [[ $funcstack[1] == _lcm-merge ]]; then _lcm_merge "$@"; else compdef _lcm_merge lcm-merge; fi
`;
}

function zshOption(name: string, option: OptionSpec): string {
  const { type, short, bare, description, placeholder } = option;
  const help = `[${description.replace(/[[\]:\\]/g, '\\$&')}]`;
  const value =
    type === 'boolean' ? '' : `${bare === undefined ? ':' : '::'}${placeholder ?? name}:${zshAction(option)}`;
  const long = `--${name}${bare === undefined ? '' : '=-'}`;
  if (!short) return quoted(`${long}${help}${value}`);
  return `${quoted(`(-${short} --${name})`)}{-${short},${long}}${quoted(`${help}${value}`)}`;
}

function zshAction({ choices, completes }: Pick<OptionSpec, 'choices' | 'completes'>): string {
  if (choices) return `(${choices.join(' ')})`;
  return completes === undefined ? ' ' : completes === 'file' ? '_files' : '_files -/';
}

// ---------------------------------------------------------------------------------------------------- fish

function fish(): string {
  const others = VERBS.filter((verb) => verb !== 'make').join(' ');
  const none = `not __fish_seen_subcommand_from ${others}`;
  const lines = VERBS.flatMap((verb) => {
    const condition = quoted(verb === 'make' ? none : `__fish_seen_subcommand_from ${verb}`);
    const [, operand] = firstOperand(SPECS[verb]) ?? [];
    return [
      `complete -c lcm-merge -n ${quoted(none)} -a ${verb} -d ${quoted(SPECS[verb].summary)}`,
      `complete -c lcm-merge -n ${condition} ${fishWords(operand ?? {})}`,
      ...entries(verb).map(([name, option]) => {
        const letters = option.short ? ` -s ${option.short}` : '';
        const value =
          option.type === 'boolean'
            ? ''
            : option.bare
              ? ` -a ${quoted(option.choices?.join(' ') ?? '')}`
              : ` -r ${fishWords(option)}`;
        return `complete -c lcm-merge -n ${condition} -l ${name}${letters}${value} -d ${quoted(option.description)}`;
      }),
    ];
  });
  return `# fish completion for lcm-merge: lcm-merge completion fish > ~/.config/fish/completions/lcm-merge.fish\n${lines.join('\n')}\n`;
}

function fishWords({ choices, completes }: Pick<OptionSpec, 'choices' | 'completes'>): string {
  if (choices) return `-f -a ${quoted(choices.join(' '))}`;
  return completes === undefined ? '-f' : completes === 'file' ? '-F' : "-f -a '(__fish_complete_directories)'";
}
