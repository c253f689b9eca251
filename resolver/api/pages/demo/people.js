// Your application knows these people. Velt gets only their ids.

const person = (userId, name, organizationId) => ({
  userId, name, email: `${userId}@example.com`, organizationId,
});

export const ORGANIZATIONS = [["acme", "Acme"], ["globex", "Globex"]];
export const PEOPLE = [
  person("ana", "Ana Lima", "acme"),
  person("ben", "Ben Okoro", "acme"),
  person("chi", "Chi Nakamura", "acme"),
  person("zoe", "Zoe Martin", "globex"),
  person("yan", "Yan Petrov", "globex"),
];

export const of = (organizationId) => PEOPLE.filter((one) => one.organizationId === organizationId);
export const known = (userId) => PEOPLE.find((one) => one.userId === userId);
export const organizationName = (id) => ORGANIZATIONS.find(([known]) => known === id)[1];

// A person as your backend sends them, with Velt's fields.
export const asUser = ({ userId, name, email }) => ({ userId, name, email });
