"""The link from a task to its study."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import BaseOperatorLink

_CONSOLES = {
    "gs": "https://console.cloud.google.com/storage/browser/{path}",
    "gcs": "https://console.cloud.google.com/storage/browser/{path}",
    "s3": "https://s3.console.aws.amazon.com/s3/buckets/{bucket}?prefix={key}/",
}


class StudyLink(BaseOperatorLink):
    """Opens the study in its cloud's console; elsewhere the URL itself."""

    name = "Study"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        del ti_key
        from ktcomponent.storage.secret import hide

        url = hide(str(operator.study or "").rstrip("/"))
        scheme, _, path = url.partition("://")
        bucket, _, key = path.partition("/")
        return _CONSOLES.get(scheme, url).format(path=path, bucket=bucket, key=key)
