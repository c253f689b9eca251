// Your application knows these people. Velt gets their ids alone.

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

// As your backend would send a person: Velt's own fields.
export const asUser = ({ userId, name, email }) => ({ userId, name, email });
