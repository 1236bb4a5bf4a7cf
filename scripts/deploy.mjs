// Deploys the Worker, after creating what the account lacks: npm run deploy -- --help
import { Failure, run, runIfProgram } from "./command.mjs";
import { USAGE, parseOptions } from "./deploy/options.mjs";
import { setup } from "./setup.mjs";
import { node22, projectDir, toolEnvironment, wranglerScript } from "./toolchain.mjs";

/**
 * @typedef {import("./deploy/options.mjs").DeployOptions} DeployOptions
 * @typedef {import("./deploy/config.mjs").Resources} Resources
 * @typedef {import("./deploy/steps.mjs").Step} Step
 */

await runIfProgram(import.meta.url, async (args) => {
  const options = parseOptions(args, process.env);
  await setup();
  if (options.mode === "information") {
    console.log(USAGE);
    return wranglerDeploy(args);
  }
  // These need packages that setup installs.
  const { readResources } = await import("./deploy/config.mjs");
  const resources = readResources(options);
  if (options.mode === "dry-run") {
    await sayWhatWouldBeMade(resources, options);
    return wranglerDeploy(args);
  }
  const deploy = {
    title: "deploy the Worker",
    take: async () => {
      if ((await wranglerDeploy(args)) !== 0) throw new Failure("wrangler deploy failed, for the reason above.");
    },
  };
  await take([...(await missing(resources, options)), deploy]);
});

/** @param {string[]} args */
function wranglerDeploy(args) {
  return run(node22, [wranglerScript, "deploy", ...args], { cwd: projectDir, env: toolEnvironment() });
}

/**
 * @param {Resources} resources
 * @param {DeployOptions} options
 * @returns {Promise<Step[]>}
 */
async function missing(resources, options) {
  const { LOG_IN } = await import("./deploy/wrangler.mjs");
  if (!(await isLoggedIn(resources, options))) throw new Failure(`Nobody is logged in to Cloudflare. ${LOG_IN}`);
  return ask(resources, options);
}

/** @param {Step[]} steps */
async function take(steps) {
  for (const [index, { title, take }] of steps.entries()) {
    console.log(`Step ${index + 1} of ${steps.length}: ${title}`);
    try {
      await take();
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      const rest = "What was done before it stays; the same command again goes on from there.";
      throw new Failure(`${error.message}\n\nFailed: ${title}. ${rest}`);
    }
  }
}

/**
 * Asks what is there, says so, and returns what is to be done.
 * @param {Resources} resources
 * @param {DeployOptions} options
 */
async function ask(resources, options) {
  const { plan } = await import("./deploy/steps.mjs");
  const { present, steps } = await plan(resources, options);
  if (present.length > 0) console.log(`There already: ${present.join(", ")}.`);
  return steps;
}

/**
 * @param {Resources} resources
 * @param {DeployOptions} options
 */
async function sayWhatWouldBeMade(resources, options) {
  try {
    if (!(await isLoggedIn(resources, options))) {
      const { LOG_IN } = await import("./deploy/wrangler.mjs");
      console.log(`What the account lacks is not known, since nobody is logged in to Cloudflare. ${LOG_IN}`);
      return;
    }
    const steps = await ask(resources, options);
    console.log("Without --dry-run this command would:");
    for (const { title } of steps) console.log(`- ${title}`);
    console.log("- deploy the Worker\n");
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    console.log(`What the account lacks is not known:\n\n${error.message}\n`);
  }
}

/**
 * Says which account it is where that is known.
 * @param {Resources} resources
 * @param {DeployOptions} options
 */
async function isLoggedIn(resources, options) {
  if (options.usesProfile) return true;
  const { login } = await import("./deploy/account.mjs");
  const user = await login(options.forWorker);
  if (user === undefined) return false;
  const { accounts } = user;
  const id = resources.accountId ?? process.env.CLOUDFLARE_ACCOUNT_ID ?? (accounts.length === 1 ? accounts[0]?.id : undefined);
  if (id === undefined) return true;
  // Else wrangler might take the account that it remembers from another login.
  if (resources.accountId === undefined) process.env.CLOUDFLARE_ACCOUNT_ID = id;
  const name = accounts.find((account) => account.id === id)?.name;
  console.log(`Account: ${name === undefined ? id : `${name} (${id})`}`);
  return true;
}
