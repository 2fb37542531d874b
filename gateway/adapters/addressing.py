"""Where the endpoints of a provider are and how its key is sent, as its row says."""

from urllib.parse import quote

from registry.snapshot import ProviderFacts


def url(provider: ProviderFacts, root: str, endpoint: str, *, model: str = "") -> str:
    """Return the URL of an endpoint, such as `chat/completions`.

    It is below `root`, which is the base URL with its version, unless the row has a path of its own.
    """
    where = f"{root}/{endpoint}"
    if provider.path:
        path = provider.path.format(model=quote(model, safe=""), endpoint=endpoint)
        where = f"{provider.base_url}/{path}"
    return f"{where}?{provider.query}" if provider.query else where


def has_place(provider: ProviderFacts) -> bool:
    """Whether an endpoint that belongs to no model, such as the list of them, has a URL."""
    return "{model}" not in provider.path


def credentials(provider: ProviderFacts) -> dict[str, str]:
    """Return the header that carries the key; none where there is no key."""
    if not provider.key:
        return {}
    key = provider.key.reveal()
    is_bearer = provider.auth_header.lower() == "authorization"
    return {provider.auth_header: f"Bearer {key}" if is_bearer else key}
