"""An Airflow connection as the arguments of an fsspec file system."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowNotFoundException,
    BaseHook,
    mask_secret,
)

_SCHEMES = {
    "aws": ("s3", "s3a"),
    "google_cloud_platform": ("gs", "gcs"),
    "wasb": ("abfs", "abfss", "az"),
    "adls": ("abfs", "abfss", "az"),
}


def file_system_options(conn_id: str, url: str) -> dict[str, Any]:
    """What a connection says, as arguments of the file system of a URL; all of it is masked in the task log.

    Known are connections of the types aws (s3://), google_cloud_platform (gs://), wasb and adls (abfs://), with the
    fields of Airflow's own providers. Of any other type, for example generic, the extra is taken as it is.

    Args:
        conn_id: The connection's id.
        url: Where it is used.

    Raises:
        AirflowFailException: If there is no such connection, or it belongs to another kind of storage.
    """
    try:
        conn = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise AirflowFailException(
            f"There is no connection {conn_id!r}. Create it, or name another one as storage_conn_id."
        ) from None
    scheme = url.split("://", 1)[0]
    schemes = _SCHEMES.get(conn.conn_type or "")
    if schemes is not None and scheme not in schemes:
        raise AirflowFailException(
            f"The connection {conn_id!r} of type {conn.conn_type} is for {schemes[0]}://, not for {url!r}."
        )
    # Older connections carry their form's prefix.
    prefix = f"extra__{conn.conn_type}__"
    extra = {name.removeprefix(prefix): value for name, value in conn.extra_dejson.items()}
    match conn.conn_type:
        case "aws":
            options = _aws(conn, extra)
        case "google_cloud_platform":
            options = _google(conn, extra)
        case "wasb" | "adls":
            options = _azure(conn, extra)
        case _:
            options = extra
    options = {name: value for name, value in options.items() if value not in (None, "", {})}
    _mask(options)
    return options


def as_environment(url: str, options: dict[str, Any]) -> dict[str, str]:
    """The environment variable that gives fsspec these arguments for the file system of a URL."""
    text = json.dumps(options)
    mask_secret(text)
    return {f"FSSPEC_{url.split('://', 1)[0].upper()}": text}


def _aws(conn: Any, extra: dict[str, Any]) -> dict[str, Any]:
    _refuse(conn, extra, "role_arn", "profile_name", "assume_role_method")
    region = extra.get("region_name")
    of_s3 = (extra.get("service_config") or {}).get("s3") or {}
    return {
        "key": conn.login or extra.get("aws_access_key_id"),
        "secret": conn.password or extra.get("aws_secret_access_key"),
        "token": extra.get("aws_session_token"),
        "endpoint_url": of_s3.get("endpoint_url") or extra.get("endpoint_url") or extra.get("host"),
        "client_kwargs": {"region_name": region} if region else None,
    }


def _google(conn: Any, extra: dict[str, Any]) -> dict[str, Any]:
    _refuse(conn, extra, "impersonation_chain", "key_secret_name", "credential_config_file")
    keys = extra.get("keyfile_dict")
    try:
        # A path is one of this worker: where the command runs there may be no such file.
        if not keys and extra.get("key_path"):
            keys = Path(extra["key_path"]).read_text()
        token = json.loads(keys) if isinstance(keys, str) and keys else keys
    except (OSError, ValueError) as error:
        raise AirflowFailException(
            f"The keys of the connection {conn.conn_id!r} can't be read: {error}"
        ) from error
    if isinstance(token, dict) and "private_key" in token:
        token = {**token, "private_key": token["private_key"].replace("\\n", "\n")}
    return {
        "token": token or ("anon" if extra.get("is_anonymous") else None),
        "project": extra.get("project"),
        "endpoint_url": extra.get("endpoint_url"),
    }


def _azure(conn: Any, extra: dict[str, Any]) -> dict[str, Any]:
    # With a tenant, login and password are an application's; the account is then told by the host.
    tenant = extra.get("tenant_id")
    host = str(conn.host or "").removeprefix("https://").split(".")[0]
    return {
        "connection_string": extra.get("connection_string"),
        "account_name": extra.get("account_name") or host or (None if tenant else conn.login),
        "account_key": extra.get("account_key")
        or extra.get("shared_access_key")
        or (None if tenant else conn.password),
        "sas_token": extra.get("sas_token"),
        "tenant_id": tenant,
        "client_id": extra.get("client_id") or (conn.login if tenant else None),
        "client_secret": extra.get("client_secret") or (conn.password if tenant else None),
    }


def _refuse(conn: Any, extra: dict[str, Any], *names: str) -> None:
    """What would be another identity than the one meant, if it were ignored."""
    for name in names:
        if extra.get(name):
            raise AirflowFailException(
                f"{name!r} of the connection {conn.conn_id!r} is not understood here. Give keys, or leave the connection "
                "out and let the machine's own identity (a role, a service account) do."
            )


def _mask(value: Any, name: str = "") -> None:
    from ktcomponent.storage.secret import is_secret

    if isinstance(value, dict):
        for key, inner in value.items():
            _mask(inner, key)
    elif isinstance(value, str) and is_secret(name):
        # A log comes line by line, and what prints a variable escapes its line ends.
        texts = [
            value,
            json.dumps(value)[1:-1],
            json.dumps(json.dumps(value)[1:-1])[1:-1],
            *value.splitlines(),
        ]
        for text in dict.fromkeys(texts):
            if len(text) >= 5:
                mask_secret(text)
