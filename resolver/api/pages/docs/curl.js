// Format a call for a shell. Credentials are variables, so that a pasted command contains no secret.
const CREDENTIALS = {
  veltApiKey: "x-velt-api-key: $VELT_API_KEY",
  callerToken: "x-velt-auth-token: $CALLER_TOKEN",
  endUser: "authorization: Bearer $END_USER_TOKEN",
  privacyToken: "authorization: Bearer $PRIVACY_TOKEN",
  metricsToken: "authorization: Bearer $METRICS_TOKEN",
};

export function curl(origin, { path, method, operation }) {
  const parameters = operation.parameters ?? [];
  const filled = parameters.reduce((at, { name, example }) => at.replace(`{${name}}`, example), path);
  const lines = [`curl -s ${quoted(origin + filled)}`];
  if (method !== "GET" && !operation.requestBody) lines.push(`-X ${method}`);
  for (const name of Object.keys(operation.security?.[0] ?? {})) lines.push(`-H "${CREDENTIALS[name]}"`);
  const body = operation.requestBody?.content["application/json"];
  if (body) {
    lines.push("-H 'content-type: application/json'");
    lines.push(`-d ${quoted(JSON.stringify(body.example))}`);
  }
  return lines.join(" \\\n  ");
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
