/**
 * Loads the packages of one NestJS major, so that the apps beside this file exist once for all of them.
 *
 * v10 and v11 are CommonJS, v12 is ESM only: the entry is resolved from the version's own node_modules and imported.
 */
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

export async function load(versionDirectory, ...names) {
  const require = createRequire(join(resolve(versionDirectory), 'package.json'));
  const modules = [];
  for (const name of names) {
    const module = await import(pathToFileURL(require.resolve(name)));
    modules.push(module.default ?? module);
  }
  return modules;
}
