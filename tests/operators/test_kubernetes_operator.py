"""`KubernetesTuningOperator` without a cluster: the pod it asks for, and what it refuses."""

import json
import types

import pytest
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.secret import Secret
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowTaskTimeout
from ktcomponent_airflow import KubernetesTuningOperator
from ktcomponent_airflow.operators.kubernetes import _permanent_problem
from kubernetes.client import ApiClient, ApiException
from kubernetes.client import models as k8s

from ktcomponent.errors import ConfigurationError
from tests.conftest import ROOT

TI = types.SimpleNamespace(
    dag_id="churn",
    run_id="manual__2026-01-01T00:00:00+00:00",
    task_id="batch",
    map_index=-1,
    try_number=1,
    max_tries=20,
)
CONTEXT = {"ti": TI, "run_id": TI.run_id, "dag": types.SimpleNamespace()}


@pytest.fixture(autouse=True)
def cluster(tmp_path, monkeypatch):
    """A kubeconfig; nothing is asked of the cluster."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {}}],
        "current-context": "c",
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig")
    )


def operator(**arguments):
    defaults = {
        "study": "gs://tuning/churn",
        "hypermodel": "churn.model:build",
        "image": "registry.example.org/churn:7",
        "batch_size": 5,
    }
    return KubernetesTuningOperator(task_id="batch", **{**defaults, **arguments})


def pod_of(operator):
    """The pod, as it goes to the API server."""
    operator.arguments = operator.command_line(CONTEXT)
    operator.name = "churn-batch"
    operator.random_name_suffix = False
    pod = ApiClient().sanitize_for_serialization(operator.build_pod_request_obj(CONTEXT))
    pod["metadata"]["labels"].pop("airflow_version")
    return pod


def test_the_pod_is_what_it_was():
    pod = pod_of(
        operator(
            namespace="tuning",
            gpus=2,
            search_args="churn.data:load",
            oracle={"objective": "val_auc", "max_trials": 60},
            env={"TF_CPP_MIN_LOG_LEVEL": "2"},
            service_account_name="tuning",
            node_selector={"cloud.google.com/gke-accelerator": "nvidia-l4"},
            secrets=[Secret("env", "FSSPEC_GS", "storage", "options")],
            container_resources=k8s.V1ResourceRequirements(requests={"cpu": "4", "memory": "16Gi"}),
            pod_template_dict={"spec": {"priorityClassName": "low", "containers": [{"name": "base"}]}},
        )
    )
    golden = json.loads((ROOT / "tests/operators/pod.json").read_text())
    assert pod == golden
    # The client's models take every field of it, and lose none.
    response = types.SimpleNamespace(data=json.dumps(golden))
    model = ApiClient().deserialize(response, "V1Pod")
    assert ApiClient().sanitize_for_serialization(model) == golden


def test_what_is_given_comes_before_the_defaults_of_spot_nodes():
    pod = pod_of(operator(tolerations=[], annotations={"a": "b"}, startup_timeout_seconds=5))
    assert "tolerations" not in pod["spec"] or pod["spec"]["tolerations"] == []
    assert pod["metadata"]["annotations"]["a"] == "b"


@pytest.mark.parametrize(
    "arguments",
    [
        {"pod_template_dict": {"spec": {"containers": "none"}}},
        {"pod_template_dict": {"spec": ["base"]}},
        {"pod_template_file": "/nowhere/pod.yaml"},
    ],
)
def test_a_pod_that_can_not_be_made_fails_without_a_retry(arguments):
    with pytest.raises(AirflowFailException, match="can't be made of its template"):
        operator(namespace="tuning", **arguments).build_pod_request_obj(CONTEXT)


def test_arguments_that_a_pod_can_not_have_are_refused():
    with pytest.raises(ConfigurationError, match="can't be 'all'"):
        operator(gpus="all")
    with pytest.raises(ConfigurationError, match="needs `image`"):
        operator(image=None)
    assert operator(image=None, pod_template_file="pod.yaml").image is None


def test_a_templates_image_comes_before_the_configured_one(monkeypatch):
    monkeypatch.setenv("AIRFLOW__KTCOMPONENT__IMAGE", "default:1")
    containers = [{"name": "base", "image": "mine:7"}]
    for template, image in ((containers, "mine:7"), ([{"name": "base"}], "default:1")):
        pod = pod_of(operator(image=None, pod_template_dict={"spec": {"containers": template}}))
        assert pod["spec"]["containers"][0]["image"] == image
    assert operator(image=None).image == "default:1"


@pytest.mark.parametrize(
    ("reason", "message", "is_permanent"),
    [
        ("CreateContainerConfigError", 'secret "storage" not found', True),
        ("CreateContainerConfigError", "couldn't find key options in Secret default/storage", True),
        ("CreateContainerConfigError", "failed to sync configmap cache: timed out", False),
        ("ErrImagePull", "manifest unknown", True),
        ("ErrImagePull", "i/o timeout", False),
    ],
)
@pytest.mark.parametrize("which", ["container_statuses", "init_container_statuses"])
def test_what_will_never_start_is_told_from_what_may(reason, message, is_permanent, which):
    waiting = k8s.V1ContainerState(waiting=k8s.V1ContainerStateWaiting(reason=reason, message=message))
    status = k8s.V1ContainerStatus(
        name="base", image="i", image_id="", ready=False, restart_count=0, state=waiting
    )
    pod = k8s.V1Pod(status=k8s.V1PodStatus(**{which: [status]}))
    assert bool(_permanent_problem(pod)) == is_permanent


@pytest.mark.parametrize(
    ("status", "body", "is_permanent"),
    [
        (403, "User sa cannot create resource pods", True),
        (401, "Unauthorized", True),
        (403, "exceeded quota: gpus", False),
        (500, "etcd is away", False),
    ],
)
def test_a_pod_that_kubernetes_refuses_is_not_asked_for_again(
    status, body, is_permanent, tmp_path, monkeypatch
):
    task = operator(study=str(tmp_path / "study"))
    error = ApiException(status=status, reason="Refused")
    error.body = body

    def refuse(*_):
        raise error

    monkeypatch.setattr(KubernetesPodOperator, "execute", refuse)
    with pytest.raises(AirflowException) as raised:
        task.execute(CONTEXT)
    assert isinstance(raised.value, AirflowFailException) == is_permanent
    assert (body if is_permanent else f"Kubernetes answered {status}") in str(raised.value)


class Cluster:
    """What a resumed task asks of a cluster with one pod, or none."""

    def __init__(self, phase="Running", code=None, status=200):
        ended = k8s.V1ContainerStateTerminated(exit_code=code) if code is not None else None
        state = k8s.V1ContainerState(
            terminated=ended, running=None if ended else k8s.V1ContainerStateRunning()
        )
        base = k8s.V1ContainerStatus(
            name="base", image="i", image_id="", ready=True, restart_count=0, state=state
        )
        self.pod = k8s.V1Pod(
            metadata=k8s.V1ObjectMeta(name="pod", namespace="tuning"),
            spec=k8s.V1PodSpec(containers=[k8s.V1Container(name="base")]),
            status=k8s.V1PodStatus(phase=phase, container_statuses=[base]),
        )
        self.status, self.calls = status, []
        self.core_v1_client = self

    def get_pod(self, *_, **__):
        if self.status != 200:
            raise ApiException(status=self.status, reason="No")
        return self.pod

    def read_namespaced_pod(self, *_, **__):
        return self.get_pod()

    def read_namespaced_pod_log(self, **options):
        self.calls.append("follow the log" if options["follow"] else "read the log")
        return [b"epoch 1\n"]

    def delete_namespaced_pod(self, *_, **__):
        self.calls.append("delete")

    def patch_namespaced_pod(self, *_, **__):
        pass

    def list_namespaced_event(self, *_, **__):
        return types.SimpleNamespace(items=[])


def resumed(cluster, event, monkeypatch, *, is_fruitless=False):
    """What a task that is resumed returns or raises, with nothing to read of its study."""
    task = operator(study="memory://none/churn", deferrable=True)
    task.hook = task.client = cluster
    monkeypatch.setattr(KubernetesTuningOperator, "_is_fruitless", lambda *_: is_fruitless)
    ti = types.SimpleNamespace(**vars(TI), xcom_push=lambda **_: None)
    context = {**CONTEXT, "ti": ti}
    told = {"name": "pod", "namespace": "tuning", "message": "The time is over.", **event}
    try:
        return task.trigger_reentry(context, told)
    except AirflowException as error:
        return error


def test_a_deferred_task_that_is_out_of_time_ends_its_pod_before_it_reads_the_log(monkeypatch):
    cluster = Cluster()
    error = resumed(cluster, {"status": "timeout"}, monkeypatch)
    assert cluster.calls[:2] == ["delete", "follow the log"]
    assert type(error) is AirflowException
    assert str(error).startswith("The time is over;")


@pytest.mark.parametrize("status", [401, 403, 500])
@pytest.mark.parametrize("event", ["success", "timeout"])
def test_a_pod_that_can_not_be_looked_at_is_not_refused(status, event, monkeypatch):
    error = resumed(Cluster(status=status), {"status": event}, monkeypatch)
    assert type(error) is AirflowException
    assert f"Kubernetes answered {status}" in str(error)


def test_pods_that_vanish_are_not_retried_for_ever(monkeypatch):
    gone = Cluster(status=404)
    assert type(resumed(gone, {"status": "error"}, monkeypatch)) is AirflowException
    for cluster, event in ((gone, "error"), (Cluster(), "timeout")):
        error = resumed(cluster, {"status": event}, monkeypatch, is_fruitless=True)
        assert type(error) is AirflowFailException
        assert "3 tries running" in str(error)


def test_a_pod_that_has_succeeded_does_whatever_its_trigger_says(monkeypatch):
    done = Cluster("Succeeded", 0)
    found = resumed(done, {"status": "failed", "message": "the trigger was lost"}, monkeypatch)
    assert found == {"study": "memory://none/churn"}
    assert "delete" in done.calls
    failed = resumed(Cluster("Failed", 70), {"status": "failed"}, monkeypatch)
    assert type(failed) is AirflowException
    assert "ended with 70" in str(failed)


@pytest.mark.parametrize(
    "arguments", [{"kubernetes_conn_id": "nowhere"}, {"config_file": "/nowhere/kubeconfig"}]
)
def test_a_cluster_that_can_not_be_had_fails_without_a_retry(arguments, monkeypatch, tmp_path):
    monkeypatch.delenv("KUBECONFIG")
    with pytest.raises(AirflowFailException, match="The cluster can't be reached"):
        operator(study=str(tmp_path / "study"), **arguments).execute(CONTEXT)


def test_a_task_that_is_out_of_time_is_told_so():
    task = operator()

    def run():
        try:
            raise AirflowTaskTimeout
        finally:
            task.cleanup(k8s.V1Pod(), k8s.V1Pod(status=k8s.V1PodStatus(phase="Running")), context=CONTEXT)

    with pytest.raises(AirflowTaskTimeout):
        run()
