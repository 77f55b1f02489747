"""The versions of one registered model in MLflow: registered whole or not at all, found again by their tags.

A version's tags are given with its creation, so that none exists without them; a re-run finds what an earlier try
registered by the fingerprint among them. What a version is worth is the policy registry's business (`core.registry`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from platform_assets.core.tracking import Run, Tracking, pages, unquoted

if TYPE_CHECKING:
    from mlflow import MlflowClient

# On the version: a tag of the run says nothing of the version that was registered from it.
STAGE = "stage"


class ModelVersions:
    """Of one model name. Methods raise TrackingError, or TrackingUnreachable when MLflow is away."""

    def __init__(self, tracking: Tracking, name: str) -> None:
        self._tracking, self.name = tracking, name

    @property
    def _client(self) -> MlflowClient:
        return self._tracking.client

    def register(self, run: Run, artefact: str, tags: Mapping[str, str]) -> str:
        """Register what a run logged below `artefact` as the next version of a model; returns the version.

        One request, after everything was uploaded: a version that exists is whole, with all its tags.
        """
        from mlflow.exceptions import MlflowException
        from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

        with self._tracking.translated():
            try:
                self._client.create_registered_model(self.name)
            except MlflowException as error:
                if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
                    raise
            source = f"{self._client.get_run(run.run_id).info.artifact_uri}/{artefact}"
            made = self._client.create_model_version(self.name, source, run.run_id, tags=dict(tags))
        return str(made.version)

    def all(self) -> dict[str, dict[str, str]]:
        """Every version of a model and its tags, oldest first; none when the model was never registered."""
        search = f"name = '{unquoted(self.name)}'"
        with self._tracking.translated():
            found = list(pages(lambda token: self._client.search_model_versions(search, page_token=token)))
        return {
            str(each.version): {**each.tags, "run_id": each.run_id or ""}
            for each in sorted(found, key=lambda each: int(each.version))
        }

    def find(self, tags: Mapping[str, str]) -> str | None:
        """The oldest version of a model that has all these tags."""
        wanted = set(tags.items())
        return next((version for version, known in self.all().items() if wanted <= set(known.items())), None)

    def set_tags(self, version: str, tags: Mapping[str, str]) -> None:
        """Tag a model's version."""
        with self._tracking.translated():
            for key, value in tags.items():
                self._client.set_model_version_tag(self.name, version, key, value)

    def fetch(self, version: str, target: Path) -> Path:
        """Download a version's files below `target`; raises TrackingError when there is no such version."""
        import mlflow.artifacts

        with self._tracking.translated():
            source = self._client.get_model_version_download_uri(self.name, version)
            return Path(
                mlflow.artifacts.download_artifacts(
                    artifact_uri=source, dst_path=str(target), tracking_uri=self._tracking.uri
                )
            )
