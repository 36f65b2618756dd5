"""`KubernetesTuningOperator`: the command in a pod."""

from __future__ import annotations

import copy
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import yaml
from airflow.providers.cncf.kubernetes.kubernetes_helper_functions import PodLaunchFailedException
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.utils.pod_manager import (
    PodLaunchTimeoutException,
    PodNotFoundException,
)
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSkipException,
    AirflowTaskTimeout,
    Context,
)
from kubernetes.client import ApiException
from kubernetes.client import models as k8s
from kubernetes.config import ConfigException

from ktcomponent.errors import ConfigurationError
from ktcomponent_airflow.configuration import configured
from ktcomponent_airflow.operators.command import CommandOperator, is_not_there
from ktcomponent_airflow.triggers.pod import SettledPodTrigger

GPU = "nvidia.com/gpu"
STARTUP_S = 900
"""A node for a GPU pod may have to be made first, and its image pulled."""
GRACE_S = 30
"""A step gives its trial back within 3 s; clouds announce the end of a spot node 25 to 120 s before."""
KEEP_NODE = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
_NO_REFERENCE = re.compile(r"(?i)not found|couldn't find key|non-existent")
TOLERATED = (GPU, "cloud.google.com/gke-spot", "kubernetes.azure.com/scalesetpriority")
"""GPU nodes and spot nodes keep other pods away by taints of these keys (GKE, AKS; EKS sets none)."""
_REFUSED = (400, 401, 403, 404, 405, 415, 422)


class KubernetesTuningOperator(CommandOperator, KubernetesPodOperator):
    """Runs a `ktcomponent` command, one batch of trials by default, in a pod.

    Everything that `KubernetesPodOperator` takes may be given: node selectors, tolerations, service account, pod
    template, volumes, `deferrable`. Its defaults suit spot nodes: they are tolerated, a running pod keeps its node
    from being scaled away, and a node and an image may take 15 minutes to come. A pod outlives its Airflow worker, and
    the next try goes on with it. An evicted pod, or one whose node is gone, is retried; an image that isn't there or a
    pod that Kubernetes refuses is not.

    A pod gets credentials as references alone: by its service account, or `secrets` and `env_from`, for example
    `Secret("env", "FSSPEC_S3", "storage", "options")`. `storage_conn_id` is what the Airflow worker itself reads the
    study with.

    Args:
        image: The image; by default `image` of the section [ktcomponent] of airflow.cfg. Its entrypoint must be
            `ktcomponent`, as of docker/trainer.Dockerfile. (templated)
        gpus: How many GPUs a step trains on; becomes a limit.
        gpu_resource: Kubernetes' name of a GPU.
        kwargs: See `CommandOperator` and `KubernetesPodOperator`.

    Raises:
        ConfigurationError: If arguments don't fit.
    """

    template_fields: Sequence[str] = (
        *KubernetesPodOperator.template_fields,
        *CommandOperator.template_fields,
    )

    def __init__(
        self,
        *,
        image: str | None = None,
        gpu_resource: str = GPU,
        tolerations: list[k8s.V1Toleration] | None = None,
        startup_timeout_seconds: int = STARTUP_S,
        # It would print the whole pod, with every variable of its environment.
        log_pod_spec_on_failure: bool = False,
        log_events_on_failure: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            image=image,
            tolerations=tolerations,
            startup_timeout_seconds=startup_timeout_seconds,
            log_pod_spec_on_failure=log_pod_spec_on_failure,
            log_events_on_failure=log_events_on_failure,
            **kwargs,
        )
        self.gpu_resource = gpu_resource
        self._tolerates_spot = tolerations is None
        has_own_pod = self.pod_template_file or self.pod_template_dict or self.full_pod_spec
        if not has_own_pod:
            self.image = self.image or configured("image")
        if self.image is None and not has_own_pod:
            raise ConfigurationError(
                f"KubernetesTuningOperator {self.task_id!r} needs `image`, a pod template, or `image` in the section "
                "[ktcomponent] of airflow.cfg."
            )
        if self.gpus == "all":
            raise ConfigurationError("Kubernetes gives a pod a number of GPUs: `gpus` can't be 'all' here.")

    # -- running -----------------------------------------------------------------------------------------

    def execute(self, context: Context) -> dict[str, Any]:
        self.arguments = [_literal(argument) for argument in self.prepared(context)]
        try:
            KubernetesPodOperator.execute(self, context)
        except ApiException as error:
            is_quota = error.status == 403 and "exceeded quota" in str(error.body)
            if self.pod is None and error.status in _REFUSED and not is_quota:
                raise AirflowFailException(
                    f"Kubernetes refuses the pod: {error.reason}. {error.body}"
                ) from error
            self._not_reached(error, context)
        except (AirflowNotFoundException, ConfigException) as error:
            raise AirflowFailException(
                f"The cluster can't be reached: {error}. Give `kubernetes_conn_id`, `config_file` or `in_cluster`."
            ) from error
        return self._told(context)

    def defer(self, *, trigger: Any, **kwargs: Any) -> NoReturn:
        super().defer(trigger=SettledPodTrigger.of(trigger), **kwargs)

    def trigger_reentry(self, context: Context, event: dict[str, Any]) -> dict[str, Any] | None:
        """Goes on where a deferred task's pod has ended, or its time has."""
        try:
            if event["status"] == "timeout":
                self._reason = str(event["message"])
                self._end_if_running(event)
            super().trigger_reentry(context, event)
        except ApiException as error:
            self._not_reached(error, context)
        except PodNotFoundException:
            self.outcome(None, context, self._reason)
        except AirflowException as error:
            # Who watched it failed; the pod itself didn't.
            if not self._has_succeeded:
                if self._killed:
                    self.outcome(None, context, self._reason)
                raise
            self.log.warning("The pod has succeeded all the same: %s", error)
        return self._told(context)

    def _end_if_running(self, event: dict[str, Any]) -> None:
        """Ends a pod whose time is over, before anybody follows its log to the end."""
        pod = self.hook.get_pod(event["name"], event["namespace"])
        if pod.status and pod.status.phase == "Running":
            self.pod = pod
            self.on_kill()

    def get_or_create_pod(self, pod_request_obj: k8s.V1Pod, context: Context) -> k8s.V1Pod:
        # One that succeeded while nobody watched has done the batch: it is only read and removed.
        pod = self.find_pod(pod_request_obj.metadata.namespace, context=context)
        if pod is not None and pod.status and pod.status.phase == "Succeeded":
            self.log.info("Pod %s has done this task's work already", pod.metadata.name)
            return pod
        return super().get_or_create_pod(pod_request_obj, context)

    _launch_problem: str | None = None
    _reason: str | None = None
    _has_succeeded = False

    def await_pod_start(self, pod: k8s.V1Pod) -> None:
        try:
            super().await_pod_start(pod)
        except (PodLaunchFailedException, PodLaunchTimeoutException) as error:
            # What the clean-up raises hides it.
            self._reason = str(error)
            self._launch_problem = _permanent_problem(self.pod_manager.read_pod(pod))
            raise

    def cleanup(
        self,
        pod: k8s.V1Pod,
        remote_pod: k8s.V1Pod,
        xcom_result: dict[str, Any] | None = None,
        context: Context | None = None,
    ) -> None:
        """Removes the pod; its exit code decides what becomes of the task."""
        if isinstance(sys.exc_info()[1], AirflowTaskTimeout):
            # Airflow calls `on_kill` next, which removes the pod.
            return
        try:
            super().cleanup(pod, remote_pod, xcom_result, context)
            self._has_succeeded = remote_pod is not None and not self._killed
        except (AirflowSkipException, AirflowFailException):
            raise
        except AirflowException as error:
            status = remote_pod.status if remote_pod else None
            if status is not None and status.reason:
                self.log.warning("The pod ended: %s. %s", status.reason, status.message or "")
            if context is None:
                raise
            if problem := self._launch_problem or _permanent_problem(remote_pod):
                raise AirflowFailException(f"The pod can't start: {problem}") from error
            try:
                self.outcome(_exit_code(remote_pod, self.base_container_name), context, self._reason)
            except AirflowException as outcome:
                raise outcome from error

    def _told(self, context: Context) -> dict[str, Any]:
        if self._killed:
            # The pod was told to end with the task, and gave its trial back.
            self.outcome(None, context, self._reason)
        # `KubernetesPodOperator` means its own sidecar by do_xcom_push, and Airflow the return value.
        result = self.result()
        ti = context["ti"]
        if self.multiple_outputs:
            for name, value in result.items():
                ti.xcom_push(key=name, value=value)
        ti.xcom_push(key="return_value", value=result)
        return result

    def _not_reached(self, error: ApiException, context: Context) -> None:
        self.log.warning("Kubernetes answered %s: %s. %s", error.status, error.reason, error.body)
        self.outcome(None, context, f"Kubernetes answered {error.status}: {error.reason}")

    # -- the pod -----------------------------------------------------------------------------------------

    def build_pod_request_obj(self, context: Context | None = None, **kwargs: Any) -> k8s.V1Pod:
        """The pod of the template and the arguments; our defaults come last.

        Raises:
            AirflowFailException: If none can be made of them.
        """
        # Without this check the provider makes an empty pod of it.
        if self.pod_template_file and not os.path.isfile(self.pod_template_file):
            raise AirflowFailException(
                f"The pod can't be made of its template: there is no file {self.pod_template_file!r} on this worker."
            )
        try:
            if isinstance(self.env_vars, dict):
                self.env_vars = [
                    k8s.V1EnvVar(name=name, value=value) for name, value in self.env_vars.items()
                ]
            pod = super().build_pod_request_obj(context, **kwargs)
            self._complete(pod)
        except (ValueError, TypeError, AttributeError, KeyError, yaml.YAMLError) as error:
            raise AirflowFailException(
                f"The pod can't be made of its template and arguments: {type(error).__name__}: {error}"
            ) from error
        return pod

    def _complete(self, pod: k8s.V1Pod) -> None:
        """Adds what the command needs, and defaults where neither template nor arguments say otherwise."""
        pod.metadata.annotations = {**KEEP_NODE, **(pod.metadata.annotations or {})}
        spec = pod.spec
        if spec.termination_grace_period_seconds is None:
            spec.termination_grace_period_seconds = GRACE_S
        if self._tolerates_spot:
            known = {toleration.key for toleration in spec.tolerations or []}
            spec.tolerations = [
                *(spec.tolerations or []),
                *(
                    k8s.V1Toleration(key=key, operator="Exists", effect="NoSchedule")
                    for key in TOLERATED
                    if key not in known
                ),
            ]
        (base,) = (c for c in spec.containers if c.name == self.base_container_name)
        base.image = base.image or configured("image")
        shown = self.shown_env().items()
        base.env = [*(base.env or []), *(k8s.V1EnvVar(name=n, value=_literal(v)) for n, v in shown)]
        if self.gpus:
            # A copy, since tasks may have been given the same one.
            resources = copy.deepcopy(base.resources) or k8s.V1ResourceRequirements()
            resources.limits = {**(resources.limits or {}), self.gpu_resource: str(self.gpus)}
            base.resources = resources


def _literal(text: str) -> str:
    """The text as Kubernetes has to be told it: it expands $(NAME), and takes $$ for $."""
    return text.replace("$", "$$")


def _permanent_problem(pod: k8s.V1Pod | None) -> str | None:
    """Why a pod's containers will never start, whatever the node; None where another try may help."""
    told = pod.status if pod is not None else None
    statuses = [*(told.container_statuses or ()), *(told.init_container_statuses or ())] if told else []
    for status in statuses:
        waiting = status.state.waiting if status.state else None
        if waiting is None:
            continue
        message = f"{waiting.reason}: {waiting.message or ''}"
        is_image = waiting.reason in ("ErrImagePull", "ImagePullBackOff")
        # Of a secret or a configuration map that the pod refers to.
        is_reference = waiting.reason == "CreateContainerConfigError" and _NO_REFERENCE.search(message)
        if waiting.reason in ("InvalidImageName", "ErrImageNeverPull") or (
            (is_image and is_not_there(message)) or is_reference
        ):
            return message
    return None


def _exit_code(pod: k8s.V1Pod | None, container: str) -> int | None:
    """The exit code of a pod's container; None where it was lost, as with its node."""
    statuses = (pod.status.container_statuses if pod is not None and pod.status else None) or []
    for status in statuses:
        if status.name == container and status.state and status.state.terminated:
            code: int | None = status.state.terminated.exit_code
            return code
    return None
