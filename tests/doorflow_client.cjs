// DoorFlow's own client, unchanged: argv are the folder it is installed in, our base address, and client id and secret.
// It reads what to do from standard input, one JSON line each, and answers with one JSON line each.
const readline = require("node:readline");
const [folder, basePath, clientId, clientSecret, redirectUri] = process.argv.slice(2);
const { DoorFlow } = require(require.resolve("doorflow", { paths: [folder] }));

let tokens = null;
const storage = { load: async () => tokens, save: async (given) => { tokens = given; }, clear: async () => { tokens = null; } };
const doorflow = new DoorFlow({
  clientId, clientSecret, redirectUri, basePath, storage,
  scopes: [
    "account.person", "account.channel.readonly", "account.event.access.readonly", "account.reservation",
    "account.group_reservation", "account.group.readonly", "account.role.readonly", "account.site.readonly", "account.sync",
    "account.notification_rule",
  ],
});

// JSON has no dates, and the client takes nothing else for an instant.
function dated(value) {
  if (Array.isArray(value)) return value.map(dated);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, dated(v)]));
  return typeof value === "string" && /^\d{4}-\d\d-\d\dT/.test(value) ? new Date(value) : value;
}

const verbs = {
  authorize: ({ options }) => doorflow.getAuthorizationUrl(options),
  callback: ({ code, state }) => doorflow.handleCallback(code, state),
  expire: async () => { tokens = { ...tokens, expiresAt: 0 }; return tokens.refreshToken; },
  tokens: async () => tokens,
  disconnect: () => doorflow.disconnect(),
  call: ({ api, method, args }) => doorflow[api][method](...args.map(dated)),
};

readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  const { verb, ...asked } = JSON.parse(line);
  try {
    process.stdout.write(JSON.stringify({ value: (await verbs[verb](asked)) ?? null }) + "\n");
  } catch (error) {
    const body = error.response ? await error.response.text().catch(() => "") : "";
    process.stdout.write(JSON.stringify({ error: String(error), status: error.response?.status, body }) + "\n");
  }
});
