"""The files of docs/distributed start every worker with a TF_CONFIG of its own that tfgen takes."""

import json
import os
import pathlib
import subprocess

import pytest
import yaml

from tfgen.runner.request import check_cluster

FILES = pathlib.Path(__file__).parent.parent.parent / "docs" / "distributed"
# In place of the programs: `tfgen` writes down how it was called.
PROGRAMS = {
    "tfgen": 'echo "$TF_CONFIG|$*" >> "$CALLS"',
    "srun": 'shift; for ((i = 0; i < SLURM_NTASKS; i++)); do SLURM_PROCID=$i "$@"; done',
    "scontrol": '[ "$1 $2 $3" = "show hostnames n[0-1]" ] && printf "n0\\nn1\\n"',
}


@pytest.fixture
def called(tmp_path):
    """Function from a command and an environment to the calls of tfgen: its TF_CONFIG and its arguments."""
    for name, body in PROGRAMS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)

    def run(*command, **environment):
        path = f"{tmp_path}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "CALLS": str(tmp_path / "calls"), **environment}
        subprocess.run(command, check=True, timeout=60, env=environment)
        return sorted(line.split("|") for line in (tmp_path / "calls").read_text().splitlines())

    return run


def check_workers(calls, addresses, arguments):
    assert [call[1] for call in calls] == [arguments] * len(addresses)
    configs = [json.loads(call[0]) for call in calls]
    for call in calls:
        check_cluster(call[0])
    assert [config["cluster"] for config in configs] == [{"worker": addresses}] * len(addresses)
    assert [config["task"] for config in configs] == [{"type": "worker", "index": i} for i in range(len(addresses))]


def test_workers_of_one_host(called):
    calls = called("bash", FILES / "workers.sh", "3", "gan", "--resume", PORT="4000")
    addresses = ["127.0.0.1:4000", "127.0.0.1:4001", "127.0.0.1:4002"]
    check_workers(calls, addresses, "run gan --resume --strategy multiworker")


def test_workers_of_a_slurm_job(called):
    job = {"SLURM_JOB_ID": "20007", "SLURM_JOB_NODELIST": "n[0-1]", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NTASKS": "4"}
    calls = called("bash", FILES / "slurm.sh", "gan", "--seed", "3", **job)
    addresses = ["n0:20007", "n0:20008", "n1:20007", "n1:20008"]
    check_workers(calls, addresses, "run gan --seed 3 --strategy multiworker --resume")


def test_seeds_of_a_slurm_array(called):
    calls = called("bash", FILES / "slurm-array.sh", "--all", SLURM_ARRAY_TASK_ID="7", TF_CONFIG="")
    assert calls == [["", "run --all --seeds 7 --resume"]]


def test_workers_of_a_kubernetes_job(called):
    service, claim, job = yaml.safe_load_all((FILES / "kubernetes.yaml").read_text())
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    variables = {each["name"]: each["value"] for each in container["env"]}
    for index in range(job["spec"]["completions"]):
        calls = called(*container["command"], *container["args"], JOB_COMPLETION_INDEX=str(index), **variables)
    name, subdomain = job["metadata"]["name"], pod["subdomain"]
    assert service["metadata"]["name"] == subdomain and service["spec"]["selector"] == {"job-name": name}
    addresses = [f"{name}-{i}.{subdomain}:23450" for i in range(job["spec"]["parallelism"])]
    assert len(addresses) == job["spec"]["completions"]
    check_workers(calls, addresses, "run gan --preset paper --strategy multiworker --resume --output-dir /shared/runs")
    assert claim["metadata"]["name"] == pod["volumes"][0]["persistentVolumeClaim"]["claimName"]
