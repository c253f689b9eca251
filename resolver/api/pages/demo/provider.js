// A small data provider client, after the documented contract of Velt's SDK. The SDK does all of this for you
// when you give it the same `config`; here you can read it.
//
//   const provider = new NotificationProvider({
//     getConfig: { url: "https://resolver.example.com/api/velt/notifications/get", headers },
//     deleteConfig: { url: "https://resolver.example.com/api/velt/notifications/delete", headers },
//     resolveTimeout: 5000,
//     getRetryConfig: { retryCount: 3, retryDelay: 2000 },
//     deleteRetryConfig: { retryCount: 3, retryDelay: 2000 },
//   });
//
// `headers` is an async function that is called for each call and each retry, since a token may be short-lived.

export class NotificationProvider {
  constructor(config) {
    this.config = config;
  }

  // Merge Velt's structure with your resolver's content, by id.
  async hydrate(notifications) {
    const groups = [...byOrganization(notifications)];
    const contents = await Promise.all(groups.map((group) => this.contents(...group)));
    const found = new Map(contents.flatMap((content) => Object.entries(content)));
    return notifications.map((one) => merge(one, found.get(one.id)));
  }

  // Show notifications whose content can't be fetched without it; never omit them.
  async contents(organizationId, notificationIds) {
    try {
      return await this.get({ organizationId, notificationIds });
    } catch {
      return {};
    }
  }

  // Fetch content by id. Ids that don't exist, or that this user may not see, are absent.
  async get(request) {
    const { getConfig, getRetryConfig } = this.config;
    return (await this.call(getConfig, getRetryConfig, request)).data;
  }

  // Velt deletes its own copy only after this has succeeded.
  async delete(request) {
    const { deleteConfig, deleteRetryConfig } = this.config;
    return this.call(deleteConfig, deleteRetryConfig, request);
  }

  async call(endpoint, { retryCount, retryDelay }, request) {
    for (let left = retryCount; ; left -= 1) {
      try {
        return await post(endpoint, request, this.config.resolveTimeout);
      } catch (error) {
        if (left === 0) throw error;
        await new Promise((done) => setTimeout(done, retryDelay));
      }
    }
  }
}

async function post({ url, headers, credentials = "same-origin" }, request, timeout) {
  const reply = await fetch(url, {
    method: "POST",
    credentials,
    headers: { "Content-Type": "application/json", ...(await headers()) },
    body: JSON.stringify(request),
    signal: AbortSignal.timeout(timeout),
  });
  if (!reply.ok) throw new Error(`HTTP ${reply.status}`);
  return reply.json();
}

// Only custom notifications are resolved. In a feed across organizations, each call names the entries' own.
function byOrganization(notifications) {
  const groups = new Map();
  for (const { id, notificationSource, metadata } of notifications) {
    if (notificationSource !== "custom") continue;
    groups.set(metadata.organizationId, [...(groups.get(metadata.organizationId) ?? []), id]);
  }
  return groups;
}

function merge(structure, content) {
  return content ? { ...structure, ...content, isHydrated: true } : structure;
}

// Replace each `{name}` with its data, once: inserted text is not searched again.
export function render(template = "", data = {}) {
  return template.replace(/\{(\w+)\}/g, (placeholder, name) => {
    const value = Object.hasOwn(data, name) ? data[name] : undefined;
    // A name may be no text: that must not prevent the others from being shown.
    return [value?.name, value?.userId, value].find((one) => typeof one === "string") ?? placeholder;
  });
}
