"""Which organizations and documents exist, who belongs to them, and what context a user may see.

By default, access is open: everyone is a member of an organization without a member list, and a
document without one is open to the whole organization. Only context is closed by default: a reader
of a notification with a context must match it.
"""

from dataclasses import dataclass, field

from resolver.sandbox.replies import VeltError
from resolver.sandbox.validation import Fields, Json, flag, list_of, map_of, mapping, text

Members = frozenset[str] | None


@dataclass
class Document:
    members: Members = None


@dataclass
class Organization:
    members: Members = None
    documents: dict[str, Document] = field(default_factory=dict)
    contexts: dict[str, Json] = field(default_factory=dict)


class Access:
    def __init__(self) -> None:
        self.strict = False
        self.organizations: dict[str, Organization] = {}

    def enter(self, organization_id: str, document_id: str, create: set[str]) -> None:
        """Make sure that both exist. In strict mode, only the kinds in `create` are created."""
        known = self.organizations.get(organization_id)
        if known is None:
            self._refuse_unless("organization" in create, "Organization not found.")
        if known is None or document_id not in known.documents:
            self._refuse_unless("document" in create, "Document not found.")
        self._organization(organization_id).documents.setdefault(document_id, Document())

    def is_member(self, organization_id: str, user_id: str) -> bool:
        members = self._peek(organization_id).members
        return members is None or user_id in members

    def can_open(self, organization_id: str, document_id: str, user_id: str) -> bool:
        members = self.readers(organization_id, document_id)
        return members is None or user_id in members

    def readers(self, organization_id: str, document_id: str) -> Members:
        """Who may open a document now; None stands for everyone."""
        organization = self._peek(organization_id)
        document = organization.documents.get(document_id, Document())
        return organization.members if document.members is None else document.members

    def matches_context(self, organization_id: str, user_id: str, wanted: Json) -> bool:
        """Every field has to match; a user's permission is one value or a list of them."""
        held = self._peek(organization_id).contexts.get(user_id, {})
        return all(name in held and _holds(held[name], value) for name, value in wanted.items())

    def declare(self, body: Fields) -> None:
        """Apply a control request. What it does not name stays unchanged."""
        body.refuse_others({"strict", "organizations"})
        strict = body.optional("strict", flag)
        organizations = body.optional("organizations", map_of(_organization_check)) or {}
        self.strict = self.strict if strict is None else strict
        for organization_id, declared in organizations.items():
            _declare_organization(self._organization(organization_id), declared)

    def shape(self) -> Json:
        organizations = {name: _shape(organization) for name, organization in self.organizations.items()}
        return {"strict": self.strict, "organizations": organizations}

    def _organization(self, organization_id: str) -> Organization:
        return self.organizations.setdefault(organization_id, Organization())

    def _peek(self, organization_id: str) -> Organization:
        return self.organizations.get(organization_id, Organization())

    def _refuse_unless(self, may_create: bool, message: str) -> None:
        if self.strict and not may_create:
            raise VeltError("NOT_FOUND", message)


def _holds(permission: object, value: object) -> bool:
    return value in permission if isinstance(permission, list) else value == permission


def _members(value: object, path: str) -> Members:
    return None if value is None else frozenset(list_of(text)(value, path))


def _document_check(value: object, path: str) -> Json:
    document = Fields(mapping(value, path), path)
    document.refuse_others({"members"})
    document.optional("members", _members)
    return dict(document.values)


def _user_check(value: object, path: str) -> Json:
    person = Fields(mapping(value, path), path)
    person.refuse_others({"context"})
    return person.required("context", mapping)


def _organization_check(value: object, path: str) -> Fields:
    organization = Fields(mapping(value, path), path)
    organization.refuse_others({"members", "documents", "users"})
    organization.optional("members", _members)
    organization.optional("documents", map_of(_document_check))
    organization.optional("users", map_of(_user_check))
    return organization


def _declare_organization(organization: Organization, declared: Fields) -> None:
    if "members" in declared.values:
        organization.members = declared.required("members", _members)
    for document_id, document in (declared.optional("documents", map_of(_document_check)) or {}).items():
        members = Fields(document).optional("members", _members)
        organization.documents[document_id] = Document(members)
    organization.contexts.update(declared.optional("users", map_of(_user_check)) or {})


def _shape(organization: Organization) -> Json:
    return {
        "members": _names(organization.members),
        "documents": {name: {"members": _names(doc.members)} for name, doc in organization.documents.items()},
        "users": {name: {"context": context} for name, context in organization.contexts.items()},
    }


def _names(members: Members) -> list[str] | None:
    return None if members is None else sorted(members)
