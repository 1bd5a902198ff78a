/**
 * Which names in a pickle betray an attack. This is not what makes reading safe (pickle.ts calls nothing); it is why such
 * a file is refused rather than read around. Checked against the names that mmaitre314/picklescan 05c3514 flags; unlike
 * it, `functools.partial` is let pass: training configs hold it, and it is harmless without one of these.
 */

const words = (text: string): ReadonlySet<string> => new Set(text.split(/\s+/));

/** Modules whose every name, and all below them, a weight file names for one purpose: to act on whoever loads it. */
const MODULES =
  words(`os posix nt sys subprocess _posixsubprocess commands popen2 pty runpy importlib imp pkgutil zipimport
  shutil socket ssl ctypes _ctypes multiprocessing asyncio threading _thread code codeop bdb pdb timeit profile cProfile
  trace doctest pydoc pip ensurepip venv setuptools distutils idlelib lib2to3 webbrowser http httplib aiohttp requests
  marshal pickle _pickle cPickle dill cloudpickle operator _operator numpy.f2py numpy.testing torch.hub
  torch.utils.collect_env torch.utils._config_module torch.utils.bottleneck torch._inductor.codecache`);

/** Names in modules that have harmless ones too. */
const NAMES: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  [
    'builtins',
    words(`eval exec execfile compile open file apply input raw_input breakpoint reload __import__ getattr setattr delattr
      globals locals vars`),
  ],
  ['types', words('CodeType FunctionType LambdaType MethodType')],
  ['torch', words('load')],
  ['torch.serialization', words('load _load')],
]);

/** The name of `builtins` in pickles of protocol 2 and below. */
const BUILTINS_OF_PYTHON_2 = '__builtin__';

/** Whether loading `module.name` the ordinary way would let the file run code. */
export function runsCode(module: string, name: string): boolean {
  // Protocol 4 allows dotted names: "eval.__call__" is eval, "hub.load" of torch is in torch.hub, and "os.system" of any
  // module that happens to import os is os.system.
  const through = name.split('.').slice(0, -1);
  if (through.some((part) => MODULES.has(part))) return true;
  const path = `${module === BUILTINS_OF_PYTHON_2 ? 'builtins' : module}.${name}`.split('.');
  return path.some((part, i) => {
    const before = path.slice(0, i).join('.');
    return MODULES.has(i === 0 ? part : `${before}.${part}`) || NAMES.get(before)?.has(part) === true;
  });
}
