"""What must not be seen: credentials in URLs, options and the messages of clients."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_IN_URL = re.compile(r"//[^/\s]*:[^/\s]*@")
_IN_TEXT = re.compile(
    r"(?i)\b(sig|signature|x-amz-signature|x-amz-credential|x-amz-security-token|accountkey|sharedaccesssignature|"
    r"access_token|authorization)(=|:\s*)(?:bearer\s+)?[^\s&;,'\"]+"
)
_NAME = re.compile(
    r"(?i)(^key$|^pwd$|private_key|secret|token|passw|account_key|access_key|credential|connection_string|sas)"
)


def is_secret(name: str) -> bool:
    """Whether an option of this name holds a credential."""
    return _NAME.search(name) is not None


def has_credentials(url: str) -> bool:
    """Whether a URL has a user's name and password in it."""
    return _IN_URL.search(url) is not None


def names_in(options: Mapping[str, Any]) -> list[str]:
    """The names of all options, however deep."""
    names = list(options)
    for value in options.values():
        if isinstance(value, Mapping):
            names += names_in(value)
    return names


def secrets_in(options: Mapping[str, Any]) -> list[str]:
    """The credentials among a file system's options, however deep."""
    found: list[str] = []
    for name, value in options.items():
        if isinstance(value, Mapping):
            found += secrets_in(value)
        elif isinstance(value, str) and len(value) >= 4 and is_secret(name):
            found.append(value)
    return found


def hide(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without credentials."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return _IN_TEXT.sub(r"\1\2***", _IN_URL.sub("//***@", text))
